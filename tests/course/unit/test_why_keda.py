"""A ScaledObject: activation, cooldown, pauses, fallback, and when the HPA decides (KEDA 2.21's rules)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course.why.keda import explain
from tests.course.unit.why_world import NOW, condition, stamp

READY = condition("Ready", "True", "ScaledObjectReady")
ACTIVE = condition("Active", "True", "ScalerActive")
ASLEEP = condition("Active", "False", "ScalerNotActive")
TRIGGER = {"type": "prometheus", "metadata": {"query": "sum(secret)", "activationThreshold": "2"}}
PAUSE = "autoscaling.keda.sh/paused"


def scaled(*conditions: dict[str, str], meta: Any = None, status: Any = None, **spec: Any) -> dict[str, Any]:
    whole = {"name": "web", "namespace": "shop", "creationTimestamp": stamp(NOW - 60), **(meta or {})}
    return {
        "metadata": whole,
        "spec": {"scaleTargetRef": {"name": "web"}, "triggers": [TRIGGER], **spec},
        "status": {"conditions": list(conditions), **(status or {})},
    }


def asking(query: str) -> dict[str, Any]:
    return {"type": "prometheus", "metadata": {"query": query, "threshold": "5"}}


def annotated(name: str, value: str = "true") -> dict[str, Any]:
    return {"annotations": {name: value}}


def active(ago: float) -> dict[str, Any]:
    return {"lastActiveTime": stamp(NOW - ago)}


@dataclass(frozen=True)
class Case:
    """A ScaledObject, the target's replicas, and what has to be said."""

    obj: dict[str, Any]
    current: int | None
    reason: str
    says: str
    fix: str = ""
    hides: tuple[str, ...] = field(default=("secret",))


FAILING = {"health": {"s0-prometheus": {"numberOfFailures": 4, "status": "Failing"}}}
FELL = condition("Fallback", "True", "FallbackExists")
CASES = {
    "asleep": Case(
        scaled(READY, ASLEEP),
        0,
        "NotActive",
        "Stays at 0: no trigger is active (prometheus, activationThreshold 2)",
    ),
    "wakes": Case(scaled(READY, ACTIVE), 0, "Activated", "0 → 1: a trigger is active"),
    "wakes to the minimum": Case(scaled(READY, ACTIVE, minReplicaCount=3), 0, "Activated", "0 → 3"),
    "forced awake": Case(
        scaled(READY, ASLEEP, meta=annotated("autoscaling.keda.sh/force-activation")), 0, "Activated", "0 → 1"
    ),
    "cools down": Case(
        scaled(READY, ASLEEP, status=active(100)),
        2,
        "Cooldown",
        "100 s since a trigger was last active, of a cooldownPeriod of 300 s",
    ),
    "has cooled down": Case(
        scaled(READY, ASLEEP, status=active(100), cooldownPeriod=20), 2, "Deactivated", "2 → 0"
    ),
    "cooldown never counts what was never active": Case(
        scaled(READY, ASLEEP),
        2,
        "Deactivated",
        "60 s since it was created, without any active trigger, over the initialCooldownPeriod of 0 s",
    ),
    "initial cooldown": Case(
        scaled(READY, ASLEEP, initialCooldownPeriod=90), 2, "Cooldown", "of a initialCooldownPeriod of 90 s"
    ),
    "to idle": Case(
        scaled(READY, ASLEEP, status=active(900), idleReplicaCount=1, minReplicaCount=3),
        5,
        "Deactivated",
        "5 → 1",
    ),
    "at idle": Case(
        scaled(READY, ASLEEP, idleReplicaCount=1, minReplicaCount=3), 1, "NotActive", "Stays at 1"
    ),
    "from idle": Case(scaled(READY, ACTIVE, idleReplicaCount=1, minReplicaCount=3), 1, "Activated", "1 → 3"),
    "below the minimum": Case(scaled(READY, ASLEEP, minReplicaCount=3), 1, "BelowMinimum", "1 → 3"),
    "inactive above the minimum": Case(
        scaled(READY, ASLEEP, minReplicaCount=3),
        5,
        "HpaDecides",
        "Between 3 and 100 replicas, now 5, hpa/keda-hpa-web",
    ),
    "the HPA": Case(
        scaled(READY, ACTIVE, maxReplicaCount=8, status={"hpaName": "own"}),
        4,
        "HpaDecides",
        "Between 1 and 8 replicas, now 4, hpa/own decides",
    ),
    "paused": Case(scaled(READY, ACTIVE, meta=annotated(PAUSE)), 4, "Paused", "keeps 4 replicas", "paused-"),
    "not paused": Case(
        scaled(READY, ACTIVE, meta=annotated(PAUSE, "false")), 4, "HpaDecides", "hpa/keda-hpa-web"
    ),
    "paused by any word": Case(scaled(READY, ACTIVE, meta=annotated(PAUSE, "yes")), 4, "Paused", "Paused"),
    "paused at": Case(
        scaled(READY, ACTIVE, meta=annotated(f"{PAUSE}-replicas", "7")),
        4,
        "PausedReplicas",
        "Paused at 7 replicas by an annotation, which",
        "paused-replicas-",
    ),
    "in is paused": Case(
        scaled(READY, ASLEEP, meta=annotated(f"{PAUSE}-scale-in")), 4, "PausedScaleIn", "Stays at 4"
    ),
    "out is paused": Case(
        scaled(READY, ACTIVE, meta=annotated(f"{PAUSE}-scale-out")), 0, "PausedScaleOut", "Stays at 0"
    ),
    "falls back": Case(
        scaled(READY, FELL, status=FAILING, fallback={"failureThreshold": 3, "replicas": 6}),
        4,
        "Fallback",
        "Falls back to 6 replicas (behavior static): s0-prometheus failed 4 times, more than the threshold",
        "mend the trigger",
    ),
    "a trigger fails": Case(
        scaled(
            condition("Ready", "False", "TriggerError", "Triggers are not working"), ASLEEP, status=FAILING
        ),
        4,
        "TriggerError",
        "Triggers are not working (s0-prometheus failed 4 times)",
        "kubectl describe",
    ),
    "a login that is not there": Case(
        scaled(
            condition(
                "Ready", "False", "ScaledObjectCheckFailed", "cert=<empty> and key=<empty> are required"
            )
        ),
        2,
        "ScaledObjectCheckFailed",
        "its TriggerAuthentication, or the Secret that this names, is not there",
        "kubectl get secrets",
    ),
    "an HPA that exists": Case(
        scaled(condition("Ready", "False", "ScaledObjectCheckFailed", '"llm-hpa" already exists')),
        2,
        "ScaledObjectCheckFailed",
        "takes it over only by a new ScaledObject",
        "transfer-hpa-ownership",
    ),
    "a target that is not there": Case(
        scaled(
            condition(
                "Ready", "False", "ScaledObjectCheckFailed", "ScaledObject has no scaleTargetRef like that"
            )
        ),
        None,
        "ScaledObjectCheckFailed",
        "does not exist, or has no scale",
        "spec.scaleTargetRef",
    ),
    "a query that fails": Case(
        scaled(
            condition("Ready", "False", "TriggerError", "Triggers defined in ScaledObject are not working")
        ),
        2,
        "TriggerError",
        "does not answer with one number",
        "status 400",
    ),
    "an average, divided again": Case(
        scaled(READY, ACTIVE, triggers=[asking("avg(secret) or vector(0)")]),
        2,
        "HpaDecides",
        "an average is divided already",
        "metricType: Value",
    ),
    "a sum that runs away": Case(
        scaled(READY, ACTIVE, triggers=[{**asking("sum(secret)"), "metricType": "Value"}]),
        2,
        "HpaDecides",
        "multiplies the ready pods",
        "metricType: AverageValue",
    ),
    "asleep by an empty answer": Case(
        scaled(READY, ASLEEP, triggers=[asking("sum(secret) + (sum(other) or vector(0))")]),
        0,
        "NotActive",
        "A query without a value counts as 0",
        "or vector(0)",
    ),
    "asleep, and never empty": Case(
        scaled(READY, ASLEEP, triggers=[asking("(sum(a) or vector(0)) + (sum(b) or vector(0))")]),
        0,
        "NotActive",
        "Stays at 0: no trigger is active (prometheus).",
    ),
    "an HPA that can't": Case(
        scaled(READY, ACTIVE, condition("HPAActive", "False", "FailedGetExternalMetric")),
        2,
        "HpaDecides",
        "It can't at the moment (FailedGetExternalMetric)",
    ),
    "nobody looked": Case(scaled(), 4, "NotLookedYet", "operator has not looked", "keda-operator"),
    "being deleted": Case(
        scaled(READY, meta={"deletionTimestamp": stamp(NOW)}), 4, "BeingDeleted", "finalizer", "keda-operator"
    ),
    "target unreadable": Case(scaled(READY, ASLEEP), None, "HpaDecides", "Between 1 and 100 replicas, hpa/"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_keda_does_and_why(name: str) -> None:
    case = CASES[name]
    found = explain(case.obj, current=case.current, now=NOW)
    assert (found.reason, found.about) == (case.reason, "scaledobject/web")
    assert case.says in found.why
    assert case.fix in found.fix
    assert not any(word in f"{found.why}{found.unknown}" for word in case.hides)


def test_what_keda_keeps_to_itself_is_named() -> None:
    found = explain(scaled(READY, ASLEEP, pollingInterval=7), current=0, now=NOW)
    assert any("values that the triggers returned" in gap for gap in found.unknown)
    assert any("every 7 s" in gap for gap in found.unknown)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    "pollingInterval",
    "cooldownPeriod",
    "idleReplicaCount",
    "minReplicaCount",
    "fallback",
    "advanced",
    "triggers",
)
STATES = ("conditions", "lastActiveTime", "health", "hpaName", "pausedReplicaCount")


@given(
    st.dictionaries(st.sampled_from(FIELDS), JUNK),
    st.dictionaries(st.sampled_from(STATES), JUNK),
    st.none() | st.integers(0, 9),
)
def test_no_broken_object_stops_it(spec: dict[str, Any], status: dict[str, Any], current: int | None) -> None:
    found = explain({"metadata": {"name": "web"}, "spec": spec, "status": status}, current=current, now=NOW)
    assert found.why.endswith(".")
