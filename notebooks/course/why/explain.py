"""One sync, explained: recomputed from what was seen around it, and compared with what the controller says.

The controller writes into the HPA's status what it measured and which rule applied. That counts. The
recomputation fills in the rest: how the pods counted, what was asked for, how far a limit held it back.
Where nothing that was seen gives the controller's own number, the numbers in the status are used.
Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from course.hpa.arithmetic import decide
from course.hpa.decision import Decision
from course.hpa.limits import History, Recommendation, StageResult, windows
from course.hpa.policy import Controller, Policy
from course.hpa.readings import Look, Reading
from course.why import reasons
from course.why.snapshot import Snapshot, before_rescale, implied, look, unrequested
from course.why.told import BOUNDS, RATES, Told

RECOMPUTED, STATUS, EVENT, FIELDS = "recomputed", "status", "event", "managedFields"


@dataclass(frozen=True)
class Explanation:
    """Why something did, or did not, scale at a moment (Unix time).

    `source` is `recomputed` where the documented algorithm, fed with what was seen, gives what the controller
    did; else `status`, `event` or `managedFields`. `unknown` is what would have to be known to be sure.
    """

    at: float
    about: str
    before: int | None
    after: int | None
    reason: str
    why: str
    source: str = STATUS
    unknown: tuple[str, ...] = ()
    fix: str = ""
    decision: Decision | None = field(default=None, compare=False)

    @property
    def scales(self) -> bool:
        """Whether the number of replicas changed."""
        return self.before != self.after


@dataclass(frozen=True)
class Case:
    """One sync to be explained: its looks (the newest last), and what was known before it."""

    policy: Policy
    told: Told
    seen: Sequence[Snapshot]
    memory: History = field(default_factory=History)
    controller: Controller = field(default_factory=Controller)

    @property
    def at(self) -> float:
        """When the newest look was made."""
        return self.seen[-1].at


def judge(case: Case) -> tuple[Decision, History, str]:
    """The decision as the controller made it, the memory after it, and where the numbers come from."""
    tried = []
    for seen, source in _looks(case):
        for known in _memories(case):
            decision, memory = decide(case.policy, seen, known, controller=case.controller)
            if _fits(decision, case.told):
                return _settled(decision, case.told), memory, source
            tried.append((decision.proposed is not None, source == STATUS, decision, memory))
    # Nothing gives the controller's number: the status, if it can be computed from, is the nearest.
    _, _, decision, memory = max(tried, key=lambda each: each[:2])
    return _settled(decision, case.told), memory, STATUS


def _memories(case: Case) -> Iterator[History]:
    """What the controller may remember: only what was seen, and when a silent sync was to one period only."""
    yield case.memory
    if not case.memory.recommendations:  # it began before this command did: its first one is long forgotten
        yield replace(case.memory, recommendations=(Recommendation(0.0, 0),))
    window = case.controller.downscale_stabilization
    if case.policy.behavior is not None:
        window = max(windows(case.policy.behavior, case.controller))
    edge = case.at - window + case.controller.sync
    kept = tuple(r for r in case.memory.recommendations if r.at > edge)
    if kept and len(kept) < len(case.memory.recommendations):
        yield replace(case.memory, recommendations=kept)


def _looks(case: Case) -> Iterator[tuple[Look, str]]:
    """What the controller may have seen: pods and metrics of the looks around it, the likeliest first."""
    told = case.told
    newest = case.seen[-1]
    earlier = before_rescale(newest, told.scaled) if told.rescaled else newest
    stood = [*reversed(case.seen[:-1]), earlier, newest]
    for pods in stood:
        if pods.pods is None:
            continue
        for metrics in reversed(case.seen):
            readings = [reading for reading in metrics.readings if reading is not None]
            if len(readings) == len(case.policy.targets):
                yield (
                    look(pods, current=told.current, at=case.at, readings=readings, zero=told.zero),
                    RECOMPUTED,
                )
    for pods in stood:
        yield _from_status(case, pods), STATUS


def _from_status(case: Case, pods: Snapshot) -> Look:
    """The pods of a look with the numbers in the status; what is missing there could not be computed."""
    told = case.told
    seen = look(pods, current=told.current, at=case.at, readings=(), zero=told.zero)
    for target in case.policy.targets:
        seen = unrequested(seen, target)
    readings = []
    for target, usage in zip(case.policy.targets, _padded(case), strict=True):
        failed = told.active.message if told.inactive else "the controller reports no value"
        readings.append(Reading(failure=failed) if usage is None else implied(target, usage, seen))
    return replace(seen, readings=tuple(readings))


def _padded(case: Case) -> tuple[int | None, ...]:
    return case.told.usages or tuple(None for _ in case.policy.targets)


def _fits(decision: Decision, told: Told) -> bool:
    """Whether a recomputed decision is what the status says, number by number."""
    if decision.desired != told.desired:
        return False
    if not decision.proposals or told.inactive:
        return bool(told.inactive) == (decision.proposed is None and not decision.bounded)
    seen = [p.usage if p.replicas is not None else None for p in decision.proposals]
    return tuple(seen) == told.usages and (told.limit in {"", reasons.reason(decision), decision.limited.by})


def _settled(decision: Decision, told: Told) -> Decision:
    """The decision with the controller's own account of its limits, where it gives one."""
    if told.inactive or told.unable or decision.proposed is None or not told.computed:
        return replace(decision, desired=decision.current if told.inactive else told.desired)
    return replace(_limited(_stable(decision, told), told), desired=told.desired)


def _stable(decision: Decision, told: Told) -> Decision:
    asked = decision.proposed
    assert asked is not None
    if told.window:
        known = decision.stabilized
        held = known.replicas if known.by == told.window else told.desired
        return replace(decision, stabilized=StageResult(held, told.window))
    if not told.rescaled:
        return replace(decision, stabilized=StageResult(asked))
    if told.limit:  # what it limited was beyond the limit: another window than ours, if ours is not
        upwards = told.limit in {"TooManyReplicas", "ScaleUpLimit"}
        held = decision.stabilized.replicas
        beyond = held > told.desired if upwards else held < told.desired
        return decision if beyond else replace(decision, stabilized=StageResult(asked))
    # A rescale's message takes the place of the window's in the status, so the window is inferred.
    if told.desired > asked:
        return replace(decision, stabilized=StageResult(told.desired, "ScaleDownStabilized"))
    if told.desired < asked and decision.policy.behavior is not None:
        return replace(decision, stabilized=StageResult(told.desired, "ScaleUpStabilized"))
    return replace(decision, stabilized=StageResult(asked))


def _limited(decision: Decision, told: Told) -> Decision:
    if told.limit in BOUNDS:
        return replace(decision, bounded=told.limit)
    if told.limit in RATES:
        return replace(decision, limited=StageResult(told.desired, told.limit), bounded="")
    return replace(decision, limited=StageResult(told.desired), bounded="")
