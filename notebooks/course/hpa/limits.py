"""What comes between a proposal and the replicas: stabilization, rates, bounds.

Two sets of rules: without `behavior` (highest recommendation of the last 300 s; at most max(2 × current, 4)
at each sync) and with it (a window and a rate for each direction). The memory that they need is a `History`,
passed in and returned; nothing here keeps state.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from course.hpa.policy import Behavior, Controller, Policy, Rules, Step

FACTOR = 2.0
LEAST = 4.0
"""Without `behavior`, one sync may double the replicas, or bring them to 4."""


@dataclass(frozen=True)
class Recommendation:
    """What the metrics asked for at one sync, before any limit."""

    at: float
    replicas: int


@dataclass(frozen=True)
class Rescale:
    """One change of the replicas; `outdated` marks a slot that the next one can reuse."""

    at: float
    change: int
    outdated: bool = False


@dataclass(frozen=True)
class History:
    """What the controller remembers about one HPA."""

    recommendations: tuple[Recommendation, ...] = ()
    ups: tuple[Rescale, ...] = ()
    downs: tuple[Rescale, ...] = ()

    def begun(self, *, at: float, current: int) -> History:
        """At its first sync, the controller takes the current replicas as a recommendation."""
        return self if self.recommendations else replace(self, recommendations=(Recommendation(at, current),))

    def rescaled(self, *, at: float, change: int, behavior: Behavior | None) -> History:
        """Note a change of the replicas; without `behavior` it is not used later."""
        if behavior is None or change == 0:
            return self
        if change > 0:
            return replace(self, ups=_noted(self.ups, Rescale(at, change), behavior.up.longest))
        return replace(self, downs=_noted(self.downs, Rescale(at, -change), behavior.down.longest))


@dataclass(frozen=True)
class StageResult:
    """A replica count after one stage; `by` is the reason in the HPA's condition, empty if unchanged."""

    replicas: int
    by: str = ""


@dataclass(frozen=True)
class ScaleProposal:
    """What the metrics ask for at a moment, with the current replicas."""

    at: float
    current: int
    proposed: int


def stabilize(
    policy: Policy, controller: Controller, history: History, proposal: ScaleProposal
) -> StageResult:
    """The recommendation that counts, given the earlier ones."""
    seen = [(r.at, r.replicas) for r in history.recommendations]
    proposed = proposal.proposed
    if policy.behavior is None:
        since = proposal.at - controller.downscale_stabilization
        found = max([proposed, *(n for at, n in seen if at >= since)])
        return StageResult(found, "ScaleDownStabilized" if found != proposed else "")
    up, down = windows(policy.behavior, controller)
    least = min([proposed, *(n for at, n in seen if at > proposal.at - up)])
    most = max([proposed, *(n for at, n in seen if at > proposal.at - down)])
    found = min(max(proposal.current, least), most)
    by = "ScaleUpStabilized" if proposed >= proposal.current else "ScaleDownStabilized"
    return StageResult(found, by if found != proposed else "")


def remember(policy: Policy, controller: Controller, history: History, proposal: ScaleProposal) -> History:
    """The history with this recommendation added: what was asked for, not the outcome."""
    longest = controller.downscale_stabilization
    if policy.behavior is not None:
        longest = max(windows(policy.behavior, controller))
    old = [i for i, r in enumerate(history.recommendations) if r.at < proposal.at - longest]
    new = Recommendation(proposal.at, proposal.proposed)
    return replace(history, recommendations=_placed(history.recommendations, new, old))


def windows(behavior: Behavior, controller: Controller) -> tuple[int, int]:
    """Seconds that recommendations count, (up, down); the flag is the default for the window down."""
    down = behavior.down.window
    return behavior.up.window or 0, int(controller.downscale_stabilization) if down is None else down


def limit(policy: Policy, history: History, proposal: ScaleProposal, *, wanted: int) -> StageResult:
    """As far towards `wanted` as the rate allows now."""
    at, current = proposal.at, proposal.current
    if policy.behavior is None:
        most = int(max(FACTOR * current, LEAST))
        return StageResult(min(wanted, most), "ScaleUpLimit" if wanted > most else "")
    if wanted > current:
        most = max(current, highest(policy.behavior.up, history, at=at, current=current))
        return StageResult(min(wanted, most), "ScaleUpLimit" if wanted > most else "")
    if wanted < current:
        least = min(current, lowest(policy.behavior.down, history, at=at, current=current))
        return StageResult(max(wanted, least), "ScaleDownLimit" if wanted < least else "")
    return StageResult(wanted)


def bound(policy: Policy, *, wanted: int, rate: str = "") -> StageResult:
    """Keep it between minReplicas and maxReplicas.

    Where the `rate` that already limited it ends at the same number, the controller names the bound.
    """
    if wanted > policy.maximum or (rate == "ScaleUpLimit" and wanted == policy.maximum):
        return StageResult(policy.maximum, "TooManyReplicas")
    if wanted < policy.minimum or (rate == "ScaleDownLimit" and wanted == policy.minimum):
        return StageResult(policy.minimum, "TooFewReplicas")
    return StageResult(wanted)


def highest(rules: Rules, history: History, *, at: float, current: int) -> int:
    """How many replicas the policies for scaling up allow at this moment."""
    if rules.select == "Disabled":
        return current
    choose = min if rules.select == "Min" else max
    return choose(_up(step.kind, step.value, start) for step, start in _starts(rules, history, at, current))


def lowest(rules: Rules, history: History, *, at: float, current: int) -> int:
    """Down to how many replicas the policies for scaling down allow at this moment."""
    if rules.select == "Disabled":
        return current
    choose = max if rules.select == "Min" else min
    return choose(_down(step.kind, step.value, start) for step, start in _starts(rules, history, at, current))


def _starts(rules: Rules, history: History, at: float, current: int) -> Iterable[tuple[Step, int]]:
    """Each policy with the replicas at the beginning of its period."""
    for step in rules.steps:
        added = sum(r.change for r in history.ups if r.at > at - step.period)
        removed = sum(r.change for r in history.downs if r.at > at - step.period)
        yield step, current - added + removed


def _up(kind: str, value: int, start: int) -> int:
    return start + value if kind == "Pods" else math.ceil(start * (1 + value / 100))


def _down(kind: str, value: int, start: int) -> int:
    return start - value if kind == "Pods" else int(start * (1 - value / 100))


def _noted(events: tuple[Rescale, ...], new: Rescale, longest: int) -> tuple[Rescale, ...]:
    marked = tuple(replace(e, outdated=True) if e.at < new.at - longest else e for e in events)
    return _placed(marked, new, [i for i, e in enumerate(marked) if e.outdated])


Entry = TypeVar("Entry")


def _placed(entries: tuple[Entry, ...], new: Entry, old: list[int]) -> tuple[Entry, ...]:
    """Put the new entry in the last outdated one's slot, so that the lists don't grow forever."""
    if not old:
        return (*entries, new)
    place = old[-1]
    return (*entries[:place], new, *entries[place + 1 :])
