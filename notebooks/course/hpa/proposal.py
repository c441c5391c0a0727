"""One metric's proposal: raw arithmetic, then tolerance, missing and pending pods.

The algorithm that the documentation calls "Algorithm details", to the last rounding: integers in thousandths
and a 64-bit ratio, as the controller of Kubernetes 1.37 counts. Pure functions.
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from course.hpa.policy import Controller, Policy, Target
from course.hpa.readings import Look, Pod, Reading, Sample

LARGEST = 2**31 - 1
NO_TARGET = "invalid object metric source: neither a value target nor an average value target was set"


@dataclass(frozen=True)
class Groups:
    """The target's pods, grouped by how their numbers count."""

    counted: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """What one metric asks for. If `replicas` is None, it could not be computed, and `failure` says why.

    `raw` is the plain ceil(ratio × pods) over pods with a number; `ratio` is the usage against the target and
    `filled` the same after missing and pending pods were filled in (None where none were). `held` says why
    the current number stays although `raw` differs: `tolerance` or `direction`.
    """

    target: Target
    replicas: int | None = None
    raw: int | None = None
    usage: int = 0
    ratio: float = 1.0
    filled: float | None = None
    held: str = ""
    groups: Groups = Groups()
    failure: str = ""


@dataclass(frozen=True)
class Question:
    """One metric of one sync, with the rules that apply to it."""

    target: Target
    reading: Reading
    look: Look
    tolerance: tuple[float, float]
    controller: Controller

    def close_enough(self, ratio: float) -> bool:
        """Whether the ratio is within the tolerance around 1."""
        under, over = self.tolerance
        return 1.0 - under <= ratio <= 1.0 + over


def propose(policy: Policy, look: Look, controller: Controller) -> tuple[Proposal, ...]:
    """One proposal for each metric of the policy, in order."""
    tolerance = policy.tolerances(controller)
    return tuple(
        _answer(Question(target, reading, look, tolerance, controller))
        for target, reading in zip(policy.targets, look.readings, strict=True)
    )


def group(question: Question) -> Groups:
    """Group the pods: counted, pending (0 on the way up, left out on the way down), missing, ignored."""
    found: dict[str, list[str]] = {"counted": [], "pending": [], "missing": [], "ignored": []}
    for pod in question.look.pods:
        found[_place(pod, question)].append(pod.name)
    return Groups(**{place: tuple(names) for place, names in found.items()})


def _place(pod: Pod, question: Question) -> str:
    if pod.leaving or pod.phase == "Failed":
        return "ignored"
    if pod.phase == "Pending":
        return "pending"
    sample = question.reading.samples.get(pod.name)
    if sample is None:
        return "missing"
    # Readiness matters for CPU only: starting up uses CPU and says nothing about load.
    of_cpu = question.target.source in {"Resource", "ContainerResource"} and question.target.name == "cpu"
    return "pending" if of_cpu and _warming(pod, sample, question) else "counted"


def _warming(pod: Pod, sample: Sample, question: Question) -> bool:
    """Whether a CPU figure still comes from the pod's start-up."""
    if pod.ready is None or pod.started is None:
        return True
    unready = pod.ready == "False"
    if pod.started + question.controller.cpu_initialization > question.look.at:
        return unready or sample.at < pod.changed + sample.window
    return unready and pod.started + question.controller.readiness_delay > pod.changed


def _answer(question: Question) -> Proposal:
    if not question.target.kind:
        return Proposal(question.target, failure=NO_TARGET)
    if question.reading.failure:
        return Proposal(question.target, failure=question.reading.failure)
    return _from_pods(question) if question.target.per_pod else _from_outside(question)


# Metrics that each pod has -------------------------------------------------------------------------------


def _from_pods(question: Question) -> Proposal:
    groups = group(question)
    try:
        known = _known(question, groups)
        ratio, usage = _ratio(question, known)
    except LookupError as error:
        return Proposal(question.target, groups=groups, failure=str(error.args[0]))
    raw = math.ceil(ratio * len(groups.counted))
    proposal = Proposal(question.target, groups=groups, usage=usage, ratio=ratio, raw=raw)
    if groups.missing or (groups.pending and ratio > 1.0):
        return _with_the_rest(question, proposal, known)
    if question.close_enough(ratio):
        return replace(proposal, replicas=question.look.current, held="tolerance")
    return replace(proposal, replicas=raw)


def _known(question: Question, groups: Groups) -> dict[str, int]:
    """The numbers that count at first: without those of starting, terminating or failed pods."""
    samples = question.reading.samples
    if not samples:
        raise LookupError("no metrics returned")
    if not question.look.pods:
        raise LookupError("no pods match the selector")
    out = {*groups.ignored, *groups.pending}
    known = {name: sample.value for name, sample in samples.items() if name not in out}
    if not known:
        raise LookupError("no metrics for the target's pods (they may be unready)")
    return known


def _with_the_rest(question: Question, proposal: Proposal, known: dict[str, int]) -> Proposal:
    """Count again, including pods without a number: conservative in whichever direction this goes."""
    ratio, current = proposal.ratio, question.look.current
    values = known | _filled(question, proposal)
    again, _ = _ratio(question, values)
    proposal = replace(proposal, filled=again)
    if question.close_enough(again):
        return replace(proposal, replicas=current, held="tolerance")
    wanted = math.ceil(again * len(values))
    turned = (ratio < 1.0 < again) or (again < 1.0 < ratio)
    if turned or (again < 1.0 and wanted > current) or (again > 1.0 and wanted < current):
        return replace(proposal, replicas=current, held="direction")
    return replace(proposal, replicas=wanted)


def _filled(question: Question, proposal: Proposal) -> dict[str, int]:
    groups = proposal.groups
    values: dict[str, int] = {}
    if proposal.ratio < 1.0:
        values.update(zip(groups.missing, _full(question, groups.missing), strict=True))
    elif proposal.ratio > 1.0:
        values.update(dict.fromkeys(groups.missing, 0))
        values.update(dict.fromkeys(groups.pending, 0))
    return values


def _full(question: Question, names: Iterable[str]) -> list[int]:
    """The assumed usage of a pod without a number on the way down: its target, or its request if larger."""
    target = question.target
    if target.kind != "Utilization":
        return [target.amount for _ in names]
    requests = _requests(question)
    return [requests[name] * max(100, target.amount) // 100 for name in names]


def _ratio(question: Question, values: Mapping[str, int]) -> tuple[float, int]:
    """Usage divided by target, and the usage as the HPA's status shows it (per pod, or in percent)."""
    target = question.target
    if target.kind != "Utilization":
        usage = sum(values.values()) // len(values)
        return usage / target.amount, usage
    requests = _requests(question)
    matched = [name for name in values if name in requests]
    asked = sum(requests[name] for name in matched)
    if asked == 0:
        raise LookupError("no metrics matched known pods")
    usage = sum(values[name] for name in matched) * 100 // asked
    return usage / target.amount, usage


def _requests(question: Question) -> dict[str, int]:
    target = question.target
    key = f"{target.container}/{target.name}" if target.container else target.name
    for pod in question.look.pods:
        if key not in pod.requests:
            raise LookupError(f"missing request for {key} in pod {pod.name}")
    return {pod.name: pod.requests[key] for pod in question.look.pods}


# Metrics of something else --------------------------------------------------------------------------------


def _from_outside(question: Question) -> Proposal:
    value = question.reading.value
    if value is None:
        return Proposal(question.target, failure="no metrics returned")
    if question.target.kind == "AverageValue":
        return _shared_out(question, value)
    return _multiplied(question, value)


def _shared_out(question: Question, value: int) -> Proposal:
    """AverageValue: as many replicas as needed to bring each one's share down to the target."""
    target, existing = question.target, question.look.status_replicas
    raw = min(LARGEST, math.ceil(value / target.amount))
    ratio = value / (target.amount * existing) if existing else math.inf if value else math.nan
    proposal = Proposal(target, replicas=raw, raw=raw, usage=_share(value, existing), ratio=ratio)
    if question.close_enough(ratio):
        return replace(proposal, replicas=existing, held="tolerance")
    return proposal


def _share(value: int, replicas: int) -> int:
    return math.ceil(value / replicas) if replicas else value


def _multiplied(question: Question, value: int) -> Proposal:
    """Value: ready pods times the ratio; a sum does not fall as pods are added, so this runs away."""
    target, current = question.target, question.look.current
    ratio = value / target.amount
    if current == 0:
        raw = math.ceil(ratio)
        return Proposal(target, replicas=raw, raw=raw, usage=value, ratio=ratio)
    ready = tuple(pod.name for pod in question.look.pods if pod.is_ready)
    raw = min(LARGEST, math.ceil(ratio * len(ready)))
    proposal = Proposal(target, raw=raw, usage=value, ratio=ratio, groups=Groups(counted=ready))
    if question.close_enough(ratio):
        return replace(proposal, replicas=current, held="tolerance")
    if not question.look.pods:
        return replace(proposal, raw=None, failure="no pods match the selector")
    return replace(proposal, replicas=raw)
