"""One clock: what CLOCK does to the control plane's flags and to an HPA's `behavior`."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.errors import BadInput
from localcluster.clock import duration, flags
from localcluster.durations import compress


def hpa(**behavior: Any) -> dict[str, Any]:
    return {"kind": "HorizontalPodAutoscaler", "spec": {"behavior": behavior}}


def test_at_one_nothing_is_compressed() -> None:
    uncompressed = flags(1)
    assert "--horizontal-pod-autoscaler-sync-period=15s" in uncompressed.kube_controller_manager
    assert "--horizontal-pod-autoscaler-downscale-stabilization=300s" in uncompressed.kube_controller_manager
    assert (uncompressed.scrape, uncompressed.window, uncompressed.floors) == ("15s", "60s", ())
    obj = hpa(scaleDown={"stabilizationWindowSeconds": 300})
    assert compress(obj, clock=1) == (obj, [])


def test_at_fifteen_fifteen_seconds_are_one() -> None:
    lab = flags(15)
    assert lab.kube_controller_manager == (
        "--horizontal-pod-autoscaler-sync-period=1s",
        "--horizontal-pod-autoscaler-downscale-stabilization=20s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=2s",
        "--horizontal-pod-autoscaler-cpu-initialization-period=20s",
    )
    assert (lab.scrape, lab.window, lab.floors) == ("1s", "4s", ())


def test_floors_hold_and_say_so() -> None:
    fast = flags(300)
    assert fast.scrape == "200ms"
    assert "scrape" in fast.floors


@pytest.mark.parametrize("clock", [0, -1, 0.5, float("nan"), float("inf")])
def test_time_is_not_stretched(clock: float) -> None:
    with pytest.raises(BadInput, match="CLOCK"):
        flags(clock)


def test_behavior_is_divided_and_told() -> None:
    before = hpa(
        scaleDown={"stabilizationWindowSeconds": 300, "policies": [{"type": "Pods", "periodSeconds": 60}]},
        scaleUp={"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "periodSeconds": 10}]},
    )
    after, changes = compress(before, clock=15)
    behavior = after["spec"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 20
    assert behavior["scaleDown"]["policies"][0]["periodSeconds"] == 4
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0  # none stays none
    assert behavior["scaleUp"]["policies"][0]["periodSeconds"] == 1  # the API knows no shorter one
    assert str(changes[0]) == "spec.behavior.scaleDown.stabilizationWindowSeconds: 300 s → 20 s"
    assert len(changes) == 3
    assert before["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300


@pytest.mark.parametrize(
    "behavior", [{}, {"scaleUp": None}, {"scaleUp": {"policies": [{"periodSeconds": "x"}]}}]
)
def test_what_is_wrong_in_behavior_is_left_to_the_server(behavior: dict[str, Any]) -> None:
    after, changes = compress(hpa(**behavior), clock=15)
    assert after["spec"]["behavior"].get("scaleUp") == behavior.get("scaleUp")
    assert not any("scaleUp" in change.field for change in changes)


def test_other_kinds_pass() -> None:
    obj = {"kind": "Deployment", "spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}}}}
    assert compress(obj, clock=15) == (obj, [])


@pytest.mark.parametrize(("seconds", "text"), [(1, "1s"), (0.2, "200ms"), (1.5, "1500ms"), (300, "300s")])
def test_durations_read_by_go_and_prometheus(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_periods_that_the_server_would_fill_in_are_compressed_too() -> None:
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    hpa = {"kind": "HorizontalPodAutoscaler", "spec": {"behavior": behavior}}
    after, _ = compress(hpa, clock=15)
    filled = after["spec"]["behavior"]
    assert filled["scaleDown"]["stabilizationWindowSeconds"] == 4
    assert [p["periodSeconds"] for p in filled["scaleUp"]["policies"]] == [1, 1]
    assert [p["value"] for p in filled["scaleUp"]["policies"]] == [4, 100]
    assert behavior == {"scaleDown": {"stabilizationWindowSeconds": 60}}


def scaled(**spec: Any) -> dict[str, Any]:
    return {"kind": "ScaledObject", "spec": {"scaleTargetRef": {"name": "web"}, **spec}}


def test_a_scaled_object_counts_in_lab_seconds_too() -> None:
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    before = scaled(
        pollingInterval=15,
        cooldownPeriod=300,
        initialCooldownPeriod=600,
        advanced={"horizontalPodAutoscalerConfig": {"name": "mine", "behavior": behavior}},
    )
    after, changes = compress(before, clock=15)
    spec = after["spec"]
    periods = spec["pollingInterval"], spec["cooldownPeriod"], spec["initialCooldownPeriod"]
    assert periods == (1, 20, 40)
    config = spec["advanced"]["horizontalPodAutoscalerConfig"]
    assert config["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 4
    assert "spec.cooldownPeriod: 300 s → 20 s" in map(str, changes)
    assert behavior == {"scaleDown": {"stabilizationWindowSeconds": 60}}
    assert compress(before, clock=1) == (before, [])


def test_seconds_that_keda_would_fill_in_are_compressed_too() -> None:
    spec = compress(scaled(), clock=15)[0]["spec"]
    assert (spec["pollingInterval"], spec["cooldownPeriod"], spec["initialCooldownPeriod"]) == (2, 20, 0)


@pytest.mark.parametrize("spec", [None, "x", {"pollingInterval": "15"}, {"advanced": []}])
def test_what_is_wrong_in_a_scaled_object_is_left_to_the_server(spec: Any) -> None:
    after, _ = compress({"kind": "ScaledObject", "spec": spec}, clock=15)
    assert isinstance(spec, dict) or after["spec"] == spec
    assert not isinstance(spec, dict) or all(after["spec"][key] == spec[key] for key in spec)
