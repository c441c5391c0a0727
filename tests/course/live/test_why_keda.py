"""`labkit why` on a ScaledObject of real KEDA: awake, asleep, paused, fallen back; and its HPA."""

from __future__ import annotations

import json
import sys
from typing import Any

from labkit.kube import Kube
from localcluster import polling, spawn
from tests.cluster.live.test_keda import apply, deployment, pytestmark, scaled, with_keda

__all__ = ["pytestmark", "with_keda"]

PAUSE = "autoscaling.keda.sh/paused"


def asked(kube: Kube) -> list[dict[str, Any]]:
    argv = [sys.executable, "-m", "labkit.cli", "why", "scaledobject/sleeper", "--json"]
    done = spawn.run([*argv, "--kubeconfig", str(kube.kubeconfig), "-n", kube.namespace], seconds=60)
    return [json.loads(line) for line in done.stdout.splitlines()] or [{"reason": "", "why": done.stderr}]


def until(kube: Kube, *reasons: str) -> dict[str, Any]:
    """Ask until KEDA's part, or that of its HPA, has one of these reasons."""
    last: list[dict[str, Any]] = []

    def found() -> dict[str, Any] | None:
        last[:] = asked(kube)
        return next((told for told in last if told["reason"] in reasons), None)

    return polling.until(found, " or ".join(reasons), seconds=60, last_seen=lambda: str(last))


def test_awake_and_asleep_again(with_keda: Kube) -> None:
    deployment(with_keda, replicas=0)
    apply(with_keda, scaled("vector(12)", cooldownPeriod=8))
    awake = until(with_keda, "HpaDecides")
    assert "hpa/keda-hpa-sleeper decides" in awake["why"]
    with_keda.until("deployment/sleeper replicas=3", seconds=60)
    of_hpa = until(with_keda, "OnTarget")
    assert of_hpa["object"] == "hpa/keda-hpa-sleeper"
    assert "s0-prometheus is 4 per pod" in of_hpa["why"]
    behavior = {
        "horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}
    }
    apply(with_keda, scaled("vector(0)", cooldownPeriod=8, advanced=behavior))
    cooling = until(with_keda, "Cooldown")
    assert "of a cooldownPeriod of 8 s" in cooling["why"]
    asleep = until(with_keda, "NotActive")
    assert (asleep["from"], asleep["to"]) == (0, 0)
    assert any("values that the triggers returned" in gap for gap in asleep["unknown"])


def test_paused_and_fallen_back(with_keda: Kube) -> None:
    deployment(with_keda, replicas=1)
    apply(with_keda, scaled("vector(12)", minReplicaCount=1, annotations={f"{PAUSE}-replicas": "2"}))
    assert "kubectl annotate" in until(with_keda, "PausedReplicas")["fix"]
    with_keda.until("deployment/sleeper replicas=2", seconds=60)
    broken = scaled("vector(", minReplicaCount=1, fallback={"failureThreshold": 1, "replicas": 2})
    apply(with_keda, broken)
    assert "Falls back to 2 replicas" in until(with_keda, "Fallback")["why"]


def test_a_target_that_is_not_there(with_keda: Kube) -> None:
    apply(with_keda, scaled("vector(12)"))
    told = until(with_keda, "ScaledObjectCheckFailed")
    assert told["why"].startswith("KEDA does nothing:")
    assert told["fix"]
