"""The HPA controller's requests, divided into rounds: one for each look at a target's scale.

A target's newest round is not counted: it might still be going on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from course.hpa.audit import CONTROLLER, AuditEvent, mapping

METRICS = {"custom.metrics.k8s.io", "external.metrics.k8s.io", "metrics.k8s.io"}
CONFLICT = 409
_PLURALS = {
    "Deployment": "deployments",
    "StatefulSet": "statefulsets",
    "ReplicaSet": "replicasets",
    "ReplicationController": "replicationcontrollers",
}

Key = tuple[str, str, str, str]
"""Namespace, API group, resource and name of what is scaled."""


@dataclass
class Round:
    """The requests of one sync; `finished` says that the next one has begun."""

    scale: AuditEvent
    metrics: list[AuditEvent] = field(default_factory=list)
    writes: list[AuditEvent] = field(default_factory=list)
    finished: bool = False

    @property
    def at(self) -> float:
        """The moment of the decision, when the last metric had arrived."""
        return max([self.scale.done, *(asked.done for asked in self.metrics)])

    @property
    def key(self) -> Key:
        """What it looked at."""
        return _key(self.scale)

    @property
    def selector(self) -> str:
        """The target's pod selector; empty if the scale could not be read."""
        return str(mapping(self.scale.answer.get("status")).get("selector", ""))


def target(hpa: Mapping[str, Any], namespace: str) -> Key:
    """What an HPA scales; an unknown kind becomes a resource that is never requested."""
    ref = hpa["spec"]["scaleTargetRef"]
    kind = ref.get("kind", "")
    group, slash, _ = (ref.get("apiVersion") or "").partition("/")
    plural = f"{kind.lower()}s"
    resource = _PLURALS.get(kind) or ("" if plural in _PLURALS.values() else plural)
    return namespace, group if slash else "", resource, ref["name"]


def _key(one: AuditEvent) -> Key:
    return one.namespace, one.group, one.resource, one.name


def rounds(asked: Iterable[AuditEvent]) -> list[Round]:
    """All rounds, in the order in which they began."""
    open_rounds: dict[Key, Round] = {}
    found: list[Round] = []
    answered = _answers(asked)
    for one in sorted((a for a in asked if a.user == CONTROLLER), key=lambda a: a.begun):
        if one.subresource == "scale" and one.verb == "get":
            latest = open_rounds.get(_key(one))
            if _again(latest):
                continue
            if latest:
                latest.finished = True
            open_rounds[_key(one)] = Round(one)
            found.append(open_rounds[_key(one)])
        elif one.subresource == "scale" and _key(one) in open_rounds:
            open_rounds[_key(one)].writes.append(one)
        elif one.group in METRICS and one.server == "kube-apiserver":
            _attach(open_rounds.values(), one, answered)
    return found


def _again(latest: Round | None) -> bool:
    """Whether a look at the scale belongs to the previous round, whose write hit a version conflict."""
    return bool(latest and latest.writes and latest.writes[-1].code == CONFLICT)


def _answers(asked: Iterable[AuditEvent]) -> dict[tuple[str, str, str], list[AuditEvent]]:
    """The adapter's side of the metrics requests, which the API server only forwards."""
    found: dict[tuple[str, str, str], list[AuditEvent]] = defaultdict(list)
    for one in asked:
        if one.server != "kube-apiserver" and one.user == CONTROLLER:
            found[_question(one)].append(one)
    return found


def _attach(
    candidates: Iterable[Round], one: AuditEvent, answered: Mapping[tuple[str, str, str], list[AuditEvent]]
) -> None:
    """Attach an answer to the round that asked: the newest one with that namespace and selector.

    A sync asks each question once, so a round that already has an answer is not meant.
    """
    fitting = [r for r in candidates if r.scale.succeeded and _selects(r, one) and not _has(r, one)]
    if not fitting:
        return
    within = [a for a in answered.get(_question(one), ()) if one.begun <= a.begun and a.done <= one.done]
    max(fitting, key=lambda r: r.scale.begun).metrics.append(within[0] if within else one)


def _selects(found: Round, one: AuditEvent) -> bool:
    if found.scale.namespace != one.namespace:
        return False
    return one.group == "external.metrics.k8s.io" or one.selector in {found.selector, ""}


def _has(found: Round, one: AuditEvent) -> bool:
    """Compare the name, too: one group can have several metrics about the same object."""
    return any(_question(a) == _question(one) and a.name == one.name for a in found.metrics)


def _question(one: AuditEvent) -> tuple[str, str, str]:
    return one.namespace, f"{one.group}/{one.resource}/{one.subresource}", one.selector
