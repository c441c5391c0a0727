"""The HPA controller's syncs, extracted from the audit logs: what each saw, and what it did.

A sync begins when the controller reads the target's scale; then come the metrics, possibly a new number of
replicas, and the HPA's status. Refuses to guess which of two HPAs on one target a sync belongs to, or what
happened outside the logs: in these cases there is only the status that the controller wrote.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from course.hpa import answers, hpa_v1
from course.hpa.audit import CONTROLLER, AuditEvent, mapping
from course.hpa.memory import Objects, matches, pod
from course.hpa.policy import Policy
from course.hpa.readings import Look, Pod
from course.hpa.rounds import Key, Round, rounds, target

HPAS = "horizontalpodautoscalers"


@dataclass(frozen=True)
class Sync:
    """One round of the controller for one HPA; times are Unix times.

    `did` is the number of replicas that it left behind, `acted` when it wrote it (None: it wrote none).
    `told` is the controller's own account, if there is nothing else.
    """

    namespace: str
    hpa: str
    uid: str
    selector: str
    policy: Policy
    look: Look
    did: int
    acted: float | None = None
    told: str = ""


class Watched:
    """Everything in the logs, prepared for extracting syncs."""

    def __init__(self, asked: Sequence[AuditEvent]) -> None:
        self.pods = Objects((a for a in asked if a.subresource in {"", "status"}), resource="pods")
        written = (hpa_v1.upgraded(a) for a in asked if a.resource == HPAS and not a.subresource)
        self._hpas = Objects(written, resource=HPAS)
        self._statuses = [hpa_v1.upgraded(a) for a in asked if _tells(a)]
        self._rounds: dict[Key, list[Round]] = defaultdict(list)
        for found in rounds(asked):
            self._rounds[found.key].append(found)

    def syncs(self) -> Iterator[Sync]:
        """Each sync of each HPA, and the controller's own account of those that can't be told apart."""
        for each in self._rounds.values():
            for found in each:
                sync = self._sync(found)
                if sync is not None:
                    yield sync
        for write in self._statuses:
            sync = self._told(write)
            if sync is not None:
                yield sync

    def pods_at(self, moment: float, *, namespace: str, selector: str) -> tuple[Pod, ...]:
        """The pods that a selector matched at a moment."""
        found = self.pods.at(moment, namespace=namespace)
        return tuple(pod(obj) for obj in found if matches(selector, obj))

    def _sync(self, found: Round) -> Sync | None:
        hpa = self._hpa_of(found)
        if hpa is None or not found.finished:
            return None
        if not found.scale.succeeded:
            return _named(hpa, Look(found.at, 0, (), (), unreadable=_unreadable(found.scale)), did=0)
        policy = Policy.of(hpa)
        scale, selector = found.scale.answer, found.selector
        current = int(mapping(scale.get("spec")).get("replicas", 0))
        unasked = self._excuse(hpa, found)
        look = Look(
            at=found.at,
            current=current,
            existing=mapping(scale.get("status")).get("replicas", 0),
            pods=self.pods_at(found.at, namespace=found.scale.namespace, selector=selector),
            readings=tuple(
                answers.reading(t, selector, found.metrics, unasked=unasked) for t in policy.targets
            ),
            scaled_to_zero=self._condition(hpa, found.scale.begun, "ScaledToZero").get("status") == "True",
        )
        written = [a for a in found.writes if a.succeeded]
        did = written[-1].replicas if written else current
        sync = _named(hpa, look, did=did)
        return replace(sync, selector=selector, acted=written[-1].done if written else None)

    def _told(self, write: AuditEvent) -> Sync | None:
        """What the controller wrote into an HPA's status, if no round is known to belong to that HPA."""
        standing = self._hpas.at(write.begun, namespace=write.namespace)
        hpa = next((h for h in standing if h["metadata"]["name"] == write.name), None)
        if hpa is None or self._covered(hpa, write):
            return None
        status = mapping(write.sent.get("status"))
        current = int(status.get("currentReplicas") or 0)
        desired = int(status.get("desiredReplicas") or 0)
        said, blind = _account(status)
        look = Look(write.done, current, (), (), unreadable=said if blind else "")
        sync = _named(hpa, look, did=desired)
        return replace(sync, told=said, acted=write.done if desired != current else None)

    def _covered(self, hpa: Mapping[str, Any], write: AuditEvent) -> bool:
        """Whether the round in which the controller wrote it is known to belong to this HPA."""
        mine = self._rounds.get(target(hpa, write.namespace), [])
        place = bisect_right(mine, write.begun, key=lambda each: each.scale.begun)
        owner = self._hpa_of(mine[place - 1]) if place else None
        return owner is not None and owner["metadata"]["name"] == write.name

    def _hpa_of(self, found: Round) -> Mapping[str, Any] | None:
        namespace = found.scale.namespace
        standing = self._hpas.at(found.scale.begun, namespace=namespace)
        mine = [hpa for hpa in standing if target(hpa, namespace) == found.key]
        return mine[0] if len(mine) == 1 else None

    def _excuse(self, hpa: Mapping[str, Any], found: Round) -> str:
        """Why a metric was not queried at all, from the controller's condition."""
        active = self._condition(hpa, found.at + 1.0, "ScalingActive")  # it is written just after the round
        return str(active.get("message")) if active.get("status") == "False" else "not asked"

    def _condition(self, hpa: Mapping[str, Any], moment: float, kind: str) -> Mapping[str, Any]:
        """A condition as the controller last wrote it."""
        meta = hpa["metadata"]
        mine = [
            s
            for s in self._statuses
            if (s.namespace, s.name) == (meta["namespace"], meta["name"]) and s.done <= moment
        ]
        told = mapping(mine[-1].sent.get("status")).get("conditions") if mine else None
        return next((c for c in told or () if c.get("type") == kind), {})


def _tells(one: AuditEvent) -> bool:
    about = one.resource == HPAS and one.subresource == "status"
    return about and one.user == CONTROLLER and one.succeeded and "status" in one.sent


def _named(hpa: Mapping[str, Any], look: Look, *, did: int) -> Sync:
    meta = hpa["metadata"]
    uid = meta.get("uid", "")
    return Sync(meta["namespace"], meta["name"], uid, "", Policy.of(hpa), look, did)


def _unreadable(scale: AuditEvent) -> str:
    what = f"{scale.resource}/{scale.name}"
    return f"the scale of {what} can't be read ({scale.message or f'status {scale.code}'})"


def _account(status: Mapping[str, Any]) -> tuple[str, bool]:
    """The controller's own words for what it did, and whether it could not even read the scale."""
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    for kind in ("AbleToScale", "ScalingActive"):
        found = conditions.get(kind, {})
        if found.get("status") == "False":
            return str(found.get("message")), found.get("reason") == "FailedGetScale"
    said = conditions.get("AbleToScale", {}).get("message") or "the controller gave no reason"
    return str(said), False
