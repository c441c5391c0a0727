"""What the course needs of a cluster: each missing part is named, with its fix and who needs it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from course.existing.prerequisites import Need, judge, rights, stops
from course.existing.survey import Right, Survey
from labkit.doctor.facts import ApiService, Prometheus
from labkit.kube.namespaces import LABELS

SERVED = tuple(
    ApiService(name, available=True) for name in ("v1beta2.custom.metrics.k8s.io", "v1beta1.metrics.k8s.io")
)
COMPLETE = Survey(
    "https://10.0.0.1:6443",
    "llm-lab",
    version="v1.37.2",
    labels=LABELS,
    gpus={"gpu-node-1": 8, "gpu-node-2": 8},
    services=SERVED,
    groups=("custom.metrics.k8s.io", "metrics.k8s.io"),
    pull_secret=True,
    registry="registry.lab:5000",
    prometheus=Prometheus("https://prometheus"),
    gpu_series=16,
)
CREATE = Right("create", "namespaces", everywhere=True)
DOWN = ApiService("v1beta1.metrics.k8s.io", available=False, reason="MissingEndpoints", message="none")
LACKING: list[tuple[str, str, dict[str, Any]]] = [
    ("API server", "no-server", {"version": "", "error": "Connection refused"}),
    ("permissions", "no-rights", {"refused": (Right("create", "pods"),)}),
    ("permissions", "no-rights", {"refused": (CREATE,), "labels": None}),
    ("namespace", "not-ours", {"labels": {"team": "search"}}),
    ("GPU nodes", "no-gpus", {"gpus": {}}),
    ("registry", "no-registry", {"registry": ""}),
    ("Prometheus", "no-prometheus", {"prometheus": Prometheus(error="not known")}),
    ("Prometheus", "no-prometheus", {"prometheus": Prometheus("https://x", "refused")}),
    ("custom metrics", "no-custom-metrics", {"services": SERVED[1:], "groups": ("metrics.k8s.io",)}),
    ("custom metrics", "no-rights", {"refused": (Right("get", "pods/x", "custom.metrics.k8s.io"),)}),
    ("resource metrics", "no-resource-metrics", {"services": SERVED[:1], "groups": ()}),
    ("resource metrics", "api-unavailable", {"services": (SERVED[0], DOWN)}),
    ("GPU metrics", "no-gpu-metrics", {"gpu_series": 0}),
]


def missing(seen: Survey) -> list[Need]:
    return [need for need in judge(seen) if need.missing]


def found(seen: Survey, name: str) -> Need:
    return next(need for need in judge(seen) if need.name == name)


def test_a_complete_cluster_lacks_nothing() -> None:
    assert missing(COMPLETE) == []
    assert {need.finding.state for need in judge(COMPLETE)} == {"ok"}


@pytest.mark.parametrize(("name", "fault", "change"), LACKING, ids=[f"{n}-{f}" for n, f, _ in LACKING])
def test_what_is_missing_is_named_alone_with_its_fix(name: str, fault: str, change: dict[str, Any]) -> None:
    first, *others = missing(replace(COMPLETE, **change))
    assert (first.name, first.finding.fault) == (name, fault)
    assert not others
    assert first.finding.cause
    assert first.finding.fix in str(first)
    assert first.notebooks in str(first)
    assert first.to_json()["fault"] == fault


def test_every_need_can_be_missing() -> None:
    told = {name for name, _, _ in LACKING}
    assert told == {need.name for need in judge(COMPLETE)} - {"model server's image"}


def test_only_what_everything_rests_on_stops_the_course() -> None:
    stopping = {name for name, _, change in LACKING if stops(judge(replace(COMPLETE, **change)))}
    assert stopping == {"API server", "permissions", "namespace"}


def test_who_was_given_a_namespace_need_not_be_able_to_make_one() -> None:
    own = (CREATE, Right("delete", "namespaces"), Right("patch", "namespaces"))
    assert missing(replace(COMPLETE, refused=own)) == []
    looks = (Right("list", "nodes", everywhere=True),)
    assert missing(replace(COMPLETE, refused=looks, gpus=None)) == []
    assert "may not: list nodes" in found(replace(COMPLETE, refused=looks), "permissions").finding.seen


def test_keda_stands_in_for_the_adapter() -> None:
    seen = replace(COMPLETE, services=SERVED[1:], groups=("keda.sh", "metrics.k8s.io"))
    assert missing(seen) == []
    assert "KEDA" in found(seen, "custom metrics").finding.seen


def test_what_can_not_be_seen_is_not_called_missing() -> None:
    hidden = replace(COMPLETE, hidden="forbidden", labels=None, gpus=None, pull_secret=False)
    assert missing(hidden) == []
    unknown = {need.name for need in judge(hidden) if need.finding.state == "unknown"}
    assert unknown == {"namespace", "GPU nodes", "model server's image"}


def test_fewer_gpus_than_the_hpa_asks_for_are_told() -> None:
    assert "scale-out ends at 4" in found(replace(COMPLETE, gpus={"n": 4}), "GPU nodes").finding.seen


def test_the_rights_that_are_asked_for_are_each_asked_once() -> None:
    assert len(set(rights())) == len(rights())
    assert Right("patch", "deployments/scale", "apps") in rights()
