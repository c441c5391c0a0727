"""The syncs of the HPA's controller, cut out of the audit logs: what each saw, and what it did.

A sync begins when the controller reads the target's scale; then come the metrics, perhaps a new number of
replicas, and the HPA's status. Refuses to guess which of two HPAs on one target a sync belongs to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from labkit.autoscaling.audit import CONTROLLER, Asked, seconds
from labkit.autoscaling.memory import Objects, matches, pod
from labkit.autoscaling.policy import Policy, Target, thousandths
from labkit.autoscaling.readings import Look, Pod, Reading, Sample

METRICS = {"custom.metrics.k8s.io", "external.metrics.k8s.io", "metrics.k8s.io"}
CONFLICT = 409
WINDOW = 60.0  # what the controller assumes where an answer names no window


@dataclass(frozen=True)
class Sync:
    """One round of the controller for one HPA; times are Unix times.

    `did` is the number of replicas that it left behind, `acted` when it wrote it (None: it wrote none).
    """

    namespace: str
    hpa: str
    uid: str
    selector: str
    policy: Policy
    look: Look
    did: int
    acted: float | None = None


@dataclass
class Round:
    """The requests of one sync."""

    scale: Asked
    metrics: list[Asked] = field(default_factory=list)
    writes: list[Asked] = field(default_factory=list)

    @property
    def at(self) -> float:
        """The moment of the decision: the last metric was in."""
        return max([self.scale.done, *(asked.done for asked in self.metrics)])


class Watched:
    """Everything that the logs say, ready to be asked for syncs."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self._asked = asked
        self.pods = Objects(asked, resource="pods")
        self._hpas = Objects((a for a in asked if not a.subresource), resource="horizontalpodautoscalers")

    def syncs(self) -> Iterator[Sync]:
        """Each sync of each HPA that can be told apart, in the order of time."""
        for found in _rounds(self._asked):
            sync = self._sync(found)
            if sync is not None:
                yield sync

    def pods_at(self, moment: float, *, namespace: str, selector: str) -> tuple[Pod, ...]:
        """The pods that a selector finds at a moment."""
        found = self.pods.at(moment, namespace=namespace)
        return tuple(pod(obj) for obj in found if matches(selector, obj))

    def _sync(self, found: Round) -> Sync | None:
        scale = found.scale.answer
        hpa = self._hpa_of(found.scale)
        if hpa is None or not scale:
            return None
        policy = Policy.of(hpa)
        spec, status = scale["spec"], scale.get("status") or {}
        selector = status.get("selector", "")
        current = spec.get("replicas", 0)
        look = Look(
            at=found.at,
            current=current,
            existing=status.get("replicas", 0),
            pods=self.pods_at(found.at, namespace=found.scale.namespace, selector=selector),
            readings=tuple(_reading(target, selector, found.metrics) for target in policy.targets),
        )
        written = [a for a in found.writes if a.succeeded]
        did = written[-1].replicas if written else current
        return Sync(
            namespace=found.scale.namespace,
            hpa=hpa["metadata"]["name"],
            uid=hpa["metadata"]["uid"],
            selector=selector,
            policy=policy,
            look=look,
            did=did,
            acted=written[-1].done if written else None,
        )

    def _hpa_of(self, scale: Asked) -> Mapping[str, Any] | None:
        standing = self._hpas.at(scale.begun, namespace=scale.namespace)
        mine = [hpa for hpa in standing if hpa["spec"]["scaleTargetRef"]["name"] == scale.name]
        return mine[0] if len(mine) == 1 else None


def _rounds(asked: Iterable[Asked]) -> list[Round]:
    """Cut what the controller asked into rounds, each opened by a look at a scale."""
    open_rounds: dict[tuple[str, str], Round] = {}
    found: list[Round] = []
    answered = _answers(asked)
    for one in sorted((a for a in asked if a.user == CONTROLLER), key=lambda a: a.begun):
        key = (one.namespace, one.name)
        if one.subresource == "scale" and one.verb == "get":
            if _again(open_rounds.get(key)):
                continue
            open_rounds[key] = Round(one)
            found.append(open_rounds[key])
        elif one.subresource == "scale" and key in open_rounds:
            open_rounds[key].writes.append(one)
        elif one.group in METRICS and one.server == "kube-apiserver":
            _attach(open_rounds.values(), one, answered)
    # The newest round of each target may still go on: it counts once the next one has begun.
    unfinished = {id(one) for one in open_rounds.values()}
    return [one for one in found if one.scale.succeeded and id(one) not in unfinished]


def _again(latest: Round | None) -> bool:
    """Whether a look at the scale belongs to the round before: its write met a newer version."""
    return bool(latest and latest.writes and latest.writes[-1].code == CONFLICT)


def _answers(asked: Iterable[Asked]) -> dict[tuple[str, str, str], list[Asked]]:
    """The adapter's side of the metrics requests: the API server only hands them on."""
    found: dict[tuple[str, str, str], list[Asked]] = defaultdict(list)
    for one in asked:
        if one.server != "kube-apiserver" and one.user == CONTROLLER:
            found[_question(one)].append(one)
    return found


def _attach(
    rounds: Iterable[Round], one: Asked, answered: Mapping[tuple[str, str, str], list[Asked]]
) -> None:
    """Give an answer to the round that asked: the newest one of that namespace and selector."""
    fitting = [r for r in rounds if r.scale.namespace == one.namespace and _selects(r, one)]
    if not fitting:
        return
    within = [a for a in answered.get(_question(one), ()) if one.begun <= a.begun and a.done <= one.done]
    max(fitting, key=lambda r: r.scale.begun).metrics.append(within[0] if within else one)


def _selects(found: Round, one: Asked) -> bool:
    selector = (found.scale.answer.get("status") or {}).get("selector", "")
    return one.group == "external.metrics.k8s.io" or one.selector in {selector, ""}


def _question(one: Asked) -> tuple[str, str, str]:
    return one.namespace, f"{one.group}/{one.resource}/{one.subresource}", one.selector


def _reading(target: Target, selector: str, metrics: Iterable[Asked]) -> Reading:
    """The answer to one metric of the HPA, out of what the round asked."""
    for one in metrics:
        if _about(target, one) and (not target.per_pod or one.selector == selector):
            return _answer(target, one)
    return Reading(failure="not asked")


def _about(target: Target, one: Asked) -> bool:
    if target.source in {"Resource", "ContainerResource"}:
        return one.group == "metrics.k8s.io"
    if target.source == "External":
        return one.group == "external.metrics.k8s.io" and one.resource == target.name
    # A pod's metric is its subresource; a namespace's own is a "metric" of that name in it.
    return one.group == "custom.metrics.k8s.io" and target.name in {one.subresource, one.name}


def _answer(target: Target, one: Asked) -> Reading:
    items = one.answer.get("items") or ()
    if not one.succeeded or not items:
        return Reading(failure=one.message or "no metrics returned")
    if target.source == "External":
        return Reading(value=sum(thousandths(item["value"]) for item in items))
    if target.source == "Object":
        return Reading(value=thousandths(items[0]["value"]))
    if target.source == "Pods":
        return Reading({i["describedObject"]["name"]: _sample(i, thousandths(i["value"])) for i in items})
    usages = ((item, _usage(target, item["containers"])) for item in items)
    return Reading({i["metadata"]["name"]: _sample(i, usage) for i, usage in usages if usage is not None})


def _usage(target: Target, containers: Sequence[Mapping[str, Any]]) -> int | None:
    """What a pod uses in thousandths; None where a container says nothing about it."""
    chosen = [c for c in containers if target.container in {"", c["name"]}]
    amounts = [c["usage"].get(target.name) for c in chosen]
    if not amounts or None in amounts:
        return None
    return sum(thousandths(amount) for amount in amounts)


def _sample(item: Mapping[str, Any], value: int) -> Sample:
    window = item.get("windowSeconds")
    if window is None:
        window = item.get("window", WINDOW)
    return Sample(value, seconds(item["timestamp"]) or 0.0, _length(window))


def _length(window: str | float) -> float:
    """A Go duration such as `4s` or `1m0s`, or a number of seconds."""
    if not isinstance(window, str):
        return float(window)
    total, number = 0.0, ""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    for char in window.replace("ms", "u"):
        if char in units or char == "u":
            total += float(number or 0) * units.get(char, 0.001)
            number = ""
        else:
            number += char
    return total
