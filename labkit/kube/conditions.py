"""Named conditions to wait for, as a notebook passes them to `lab.until`.

    deployment/llm-inference-service available     every replica is there, up to date and ready
    deployment/llm-inference-service ready=2       a number of its status, with = >= <= > < or !=
    hpa/llm-hpa desired>=6                         desired, current, min, max
    pods ready=3                                   how many pods are ready, running, pending, total
    pods app=llm-model ready=3                     the same, with a label selector
    pods app=llm-model restarts>=1                 restarts of all their containers together
    pods app=llm-model stuck=1                     pods that wait after a failure: ErrImagePull, …BackOff
    pod/web running                                a pod's phase
    node/gpu-node-1 ready                          any type in status.conditions that is True
    hpa/llm-hpa not ScalingActive                  ... or that is False
    pod/web gone                                   there is no such object (any more); opposite: `exists`

Pure: a condition looks at objects and says yes or no, and what it saw. An unknown word is refused with the
list of known ones.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from labkit.errors import BadInput
from localcluster.api.objects import KubeObject
from localcluster.api.resources import Resource

Objects = Sequence[KubeObject]

_COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_TEXT = re.compile(
    r"^(?P<kind>[\w.-]+)(?:/(?P<name>\S+))?(?:\s+(?P<selector>[\w./-]+=[\w./,=-]+))?\s+(?P<no>not\s+)?"
    r"(?P<word>[A-Za-z][\w-]*)\s*(?:(?P<op>==|!=|>=|<=|=|>|<)\s*(?P<number>\d+))?$"
)
_PHASES = ("Pending", "Running", "Succeeded", "Failed")


@dataclass(frozen=True)
class Condition:
    """One condition to wait for, as written and parsed."""

    text: str
    kind: str
    word: str
    name: str = ""
    selector: str = ""
    op: str = ""
    number: int = 0
    negated: bool = False

    def holds(self, resource: Resource, objects: Objects) -> bool:
        """Whether it is true of the objects that the server returned."""
        if self.word in {"gone", "exists"}:
            return bool(objects) == (self.word == "exists")
        if self.op:
            value = count(resource, objects, self.word)
            return value is not None and _COMPARE[self.op](value, self.number)
        if self.negated:
            return bool(objects) and all(_is_false(o, self.word) for o in objects)
        return bool(objects) and all(_is(o, self.word) for o in objects)

    def seen(self, resource: Resource, objects: Objects) -> str:
        """What was there instead, in a few words."""
        what = f"{self.kind}/{self.name}" if self.name else resource.plural
        if not objects:
            return f"no {what}" if self.word != "gone" else f"{what} gone"
        if self.op:
            return f"{what} {self.word}={count(resource, objects, self.word)}"
        return "; ".join(_state(o) for o in objects[:5])


def parse(text: str) -> Condition:
    """Parse a condition; raises `BadInput` with the grammar if it can't be parsed."""
    found = _TEXT.match(text.strip())
    if not found or (found["no"] and (found["op"] or found["word"].lower() in {"gone", "exists"})):
        raise BadInput(
            f"{text!r} is not a condition that labkit knows.",
            cause="A condition is KIND/NAME WORD, KIND/NAME FIELD>=NUMBER, or PODS SELECTOR FIELD=NUMBER.",
            fix="For example: 'deployment/llm-inference-service available', 'hpa/llm-hpa desired>=6'.",
        )
    part = found.groupdict(default="")
    return Condition(
        text=text.strip(),
        kind=part["kind"],
        word=part["word"].lower(),
        name=part["name"],
        selector=part["selector"],
        op=part["op"],
        number=int(part["number"] or 0),
        negated=bool(part["no"]),
    )


JUST_BEFORE = timedelta(seconds=3)
"""Seconds before a wait in which a failure still belongs to it: one applies first, and then waits."""


def concerned(condition: Condition, resource: Resource, objects: Objects) -> Callable[[str], bool]:
    """Whether an object (`pod/web-6c9f-abcde`) is awaited, or by its name was created by one that is.

    If pods are awaited and none exists, the cause could be any object that should have created them.
    """
    names = {condition.name} if condition.name else {o.name for o in objects}
    heirs = resource.kind not in {"Pod", "Node"} and not resource.kind.endswith("Autoscaler")

    def is_one(about: str) -> bool:
        kind, _, name = about.partition("/")
        own = kind == resource.kind.lower() and name in names
        return own or not names or (heirs and any(name.startswith(f"{each}-") for each in names))

    return is_one


def check(condition: Condition, resource: Resource) -> None:
    """Refuse a field that this kind does not have, before waiting for it."""
    fields = _fields(resource)
    if condition.op and condition.word not in fields:
        raise BadInput(
            f"{condition.text!r}: labkit can't count {condition.word!r} of {resource.plural}.",
            fix=f"It can count {', '.join(fields) or 'nothing'} there.",
        )


def count(resource: Resource, objects: Objects, field: str) -> int | None:
    """A number from one object's status, or how many pods are in a state; None if there is no object."""
    if resource.kind == "Pod" and not resource.group:
        return sum(_POD_COUNTS[field](o) for o in objects)
    if field == "total":
        return len(objects)
    if not objects:
        return None
    return sum(int(o.at(_fields(resource)[field], 0) or 0) for o in objects)


def _fields(resource: Resource) -> Mapping[str, str]:
    if resource.kind == "Pod":
        return dict.fromkeys(_POD_COUNTS, "")
    return {**_STATUS.get(resource.kind, {}), "total": ""}


def _ready(pod: KubeObject) -> bool:
    return pod.is_true("Ready") and not pod.at("metadata.deletionTimestamp")


def _containers(pod: KubeObject) -> Sequence[KubeObject]:
    return [KubeObject(c) for c in pod.at("status.containerStatuses", None) or ()]


def _restarts(pod: KubeObject) -> int:
    return sum(int(c.at("restartCount", 0)) for c in _containers(pod))


def stuck(pod: KubeObject) -> str:
    """Why a pod is waiting, unless it is just being created: CrashLoopBackOff, ErrImagePull, ..."""
    reasons = [str(c.at("state.waiting.reason", "")) for c in _containers(pod)]
    return next((r for r in reasons if r.endswith(("BackOff", "Error")) or r.startswith("Err")), "")


_POD_COUNTS: Mapping[str, Callable[[KubeObject], int]] = {
    "ready": _ready,
    "running": lambda p: p.at("status.phase") == "Running",
    "pending": lambda p: p.at("status.phase") == "Pending",
    "failed": lambda p: p.at("status.phase") == "Failed",
    "terminating": lambda p: bool(p.at("metadata.deletionTimestamp")),
    "restarts": _restarts,
    "stuck": lambda p: bool(stuck(p)),
    "total": lambda _: True,
}
_REPLICAS = {
    "ready": "status.readyReplicas",
    "available": "status.availableReplicas",
    "updated": "status.updatedReplicas",
    "replicas": "status.replicas",
    "desired": "spec.replicas",
}
_STATUS: Mapping[str, Mapping[str, str]] = {
    "Deployment": _REPLICAS,
    "ReplicaSet": _REPLICAS,
    "StatefulSet": _REPLICAS,
    "HorizontalPodAutoscaler": {
        "desired": "status.desiredReplicas",
        "current": "status.currentReplicas",
        "min": "spec.minReplicas",
        "max": "spec.maxReplicas",
    },
}


def _is(obj: KubeObject, word: str) -> bool:
    if obj.kind == "Deployment" and word in {"available", "rolled-out"}:
        return rolled_out(obj)
    if obj.kind == "Pod" and word.capitalize() in _PHASES:
        return bool(obj.at("status.phase") == word.capitalize())
    return obj.is_true(word)


def _is_false(obj: KubeObject, word: str) -> bool:
    """Whether a condition is False; one that has not been set yet is not."""
    return (obj.condition(word) or {}).get("status") == "False"


def rolled_out(deployment: KubeObject) -> bool:
    """As in `kubectl rollout status`: observed, all updated, no old replicas left, all available."""
    wanted = deployment.at("spec.replicas", 1)
    status = deployment.at("status", {})
    return bool(
        status.get("observedGeneration", 0) >= deployment.at("metadata.generation", 0)
        and status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )


def _state(obj: KubeObject) -> str:
    """One object in a few words: counts for a Deployment, phase and reason for a pod, else its conditions."""
    if obj.kind == "Deployment":
        wanted, ready = obj.at("spec.replicas", 1), obj.at("status.availableReplicas", 0)
        return f"{obj!r} {ready}/{wanted} available"
    if obj.kind == "Pod":
        waiting = obj.at("status.containerStatuses.0.state.waiting.reason", "")
        return f"{obj!r} {obj.at('status.phase', '?')}{' ' + waiting if waiting else ''}"
    conditions = obj.at("status.conditions", ()) or ()
    said = ", ".join(f"{c.get('type')}={c.get('status')} {c.get('reason', '')}".strip() for c in conditions)
    return f"{obj!r} {said or 'without conditions'}"
