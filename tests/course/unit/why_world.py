"""Objects as the API server has them, and the status that the HPA's controller writes after a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from course.hpa.arithmetic import decide
from course.hpa.decision import Decision
from course.hpa.limits import History
from course.hpa.policy import Policy
from course.hpa.readings import Reading, Sample
from course.why import reasons
from course.why.explain import Explanation
from course.why.flags import Flags
from course.why.follow import Follower
from course.why.snapshot import Snapshot, look

NOW = 1_700_000_000.0
KNOWN = Flags(known="a test")
QUEUE = {
    "type": "Pods",
    "pods": {
        "metric": {"name": "queue"},
        "target": {"type": "AverageValue", "averageValue": "5"},
    },
}
CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
}


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def hpa(metrics: Sequence[Any] = (QUEUE,), status: Any = None, **spec: Any) -> dict[str, Any]:
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    whole = {"scaleTargetRef": ref, "minReplicas": 1, "maxReplicas": 10, "metrics": list(metrics), **spec}
    return {"metadata": {"name": "web", "namespace": "shop"}, "spec": whole, "status": status or {}}


def scale(replicas: int, existing: int | None = None) -> dict[str, Any]:
    status = {"replicas": replicas if existing is None else existing, "selector": "app=web"}
    return {"spec": {"replicas": replicas}, "status": status}


def pod(name: str, *, phase: str = "Running", ready: bool = True, cpu: str = "100m") -> dict[str, Any]:
    since = stamp(NOW - 3600)
    return {
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
        "status": {
            "phase": phase,
            "startTime": since,
            "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": since}],
        },
    }


def pods(count: int, *, pending: int = 0) -> tuple[dict[str, Any], ...]:
    waiting = [pod(f"pending-{i}", phase="Pending", ready=False) for i in range(pending)]
    return (*(pod(f"pod-{i}") for i in range(count)), *waiting)


def numbers(values: Sequence[float]) -> Reading:
    """A number for each of the first pods."""
    return Reading({f"pod-{i}": Sample(round(v * 1000), at=NOW) for i, v in enumerate(values)})


def seen(
    obj: Mapping[str, Any],
    values: Sequence[float] | Reading | None,
    *,
    count: int,
    at: float = NOW,
    pending: int = 0,
) -> Snapshot:
    reading = numbers(values) if isinstance(values, Sequence) else values
    return Snapshot(at, obj, scale(count), "", pods(count - pending, pending=pending), (reading,))


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message or f"about {reason}"}


def status_of(decision: Decision, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the controller writes after this decision (horizontal.go of Kubernetes 1.37)."""
    kept = {c["type"]: c for c in (before or {}).get("conditions", ())}

    def say(kind: str, status: str, reason: str, message: str = "") -> None:
        kept[kind] = condition(kind, status, reason, message)

    say("AbleToScale", "True", "SucceededGetScale")
    if decision.proposed is None and not decision.bounded:
        failed = "ScalingDisabled" if not decision.proposals else "FailedGetPodsMetric"
        say("ScalingActive", "False", failed, decision.failure)
    elif decision.proposed is not None:
        say("ScalingActive", "True", "ValidMetricFound")
        held = decision.stabilized.by
        say("AbleToScale", "True", held or "ReadyForNewScale")
        limit = decision.bounded or decision.limited.by
        say("ScalingLimited", str(bool(limit)), limit or "DesiredWithinRange")
    if decision.scales:
        say("AbleToScale", "True", "SucceededRescale")
    return {
        "currentReplicas": decision.current,
        "desiredReplicas": decision.desired,
        "conditions": list(kept.values()),
        "currentMetrics": [_metric(p) for p in decision.proposals],
    }


def _metric(proposal: Any) -> dict[str, Any]:
    if proposal.replicas is None:
        return {"type": ""}
    target = proposal.target
    field = {"Utilization": "averageUtilization", "AverageValue": "averageValue", "Value": "value"}[
        target.kind
    ]
    amount = proposal.usage if target.kind == "Utilization" else f"{proposal.usage}m"
    source = target.source[0].lower() + target.source[1:]
    return {"type": target.source, source: {"current": {field: amount}}}


@dataclass
class World:
    """A controller as the arithmetic says, which writes its status; and somebody who looks at it."""

    spec: dict[str, Any] = field(default_factory=dict)
    flags: Flags = KNOWN
    count: int = 2
    at: float = NOW
    memory: History = field(default_factory=History)
    status: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    """The reasons of the controller's decisions."""

    def __post_init__(self) -> None:
        self.follower = Follower(self.flags)

    @property
    def hpa(self) -> dict[str, Any]:
        return hpa(status=self.status, **self.spec)

    def sync(
        self, values: list[float] | Reading, *, pending: int = 0, after: float = 15
    ) -> Explanation | None:
        """One sync of the controller with these numbers, and a look just before and just after it."""
        before = seen(self.hpa, values, count=self.count, at=self.at - 0.1, pending=pending)
        self.follower.take(before)
        policy = Policy.of(self.hpa)
        readings = [reading for reading in before.readings if reading is not None]
        saw = look(before, current=self.count, at=self.at, readings=readings)
        decision, memory = decide(policy, saw, self.memory, controller=self.flags.controller)
        self.memory = memory
        self.status = status_of(decision, self.status)
        self.said.append(reasons.reason(decision))
        self.count = decision.desired
        found = self.follower.take(
            seen(self.hpa, values, count=self.count, at=self.at + 0.1, pending=pending)
        )
        self.at += after
        return found
