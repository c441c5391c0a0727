"""An HPA followed from look to look: one explanation for each sync that changed the HPA's status.

The controller writes the status only if it changed, so a sync without news leaves no trace: the last
explanation holds, unless the pods and metrics now ask for another number. Remembers what the controller
remembers, as far as it was seen. Pure: looks are passed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from course.hpa.decision import Decision
from course.hpa.limits import History, Recommendation, ScaleProposal, remember
from course.hpa.policy import Policy
from course.why import reasons
from course.why.explain import STATUS, Case, Explanation, judge
from course.why.flags import Flags
from course.why.snapshot import Snapshot
from course.why.told import Told, told
from course.why.unknown import unknown

LOOKS = 4
"""How many looks back a sync's pods and metrics are looked for."""


@dataclass(frozen=True)
class Writer:
    """Who last wrote the target's replicas, and when (Unix time; None: not known)."""

    manager: str
    at: float | None = None


Writers = Callable[[], Iterable[Writer]]


class Follower:
    """One HPA. `rescales` are its changes before the first look: moment and change of replicas."""

    def __init__(self, flags: Flags, *, rescales: Iterable[tuple[float, int]] = ()) -> None:
        self._flags = flags
        self._looks: deque[Snapshot] = deque(maxlen=LOOKS)
        self._memory = History()
        self._rescales = list(rescales)
        self._told: Told | None = None
        self._last: Decision | None = None
        self._left: int | None = None
        self._began = 0.0
        self._noted = 0.0

    def take(self, seen: Snapshot, *, writers: Writers = lambda: ()) -> Explanation | None:
        """What this look shows of a new sync; None if nothing is new. `writers` is asked where needed."""
        self._looks.append(seen)
        policy = Policy.of(seen.hpa)
        now = told(seen.hpa, policy)
        before, self._told = self._told, now
        if before is None:
            self._begin(seen, policy, now)
        case = Case(policy, now, tuple(self._looks), self._memory, self._flags.controller)
        if before is not None and before.digest == now.digest:
            return self._silent(case)
        moved = self._left is not None and self._left != now.current and not now.unable
        by_other = _someone(self._left, now.current, writers()) if moved else ""
        found = self._explained(case, by_other)
        self._left = found.after
        return found

    def _begin(self, seen: Snapshot, policy: Policy, now: Told) -> None:
        self._began = self._noted = seen.at
        for at, change in self._rescales:
            self._memory = self._memory.rescaled(at=at, change=change, behavior=policy.behavior)
        if (
            now.window and now.desired
        ):  # some recommendation of the past holds it: when it was made is not known
            self._memory = History(
                (Recommendation(seen.at, now.desired),), self._memory.ups, self._memory.downs
            )

    def _silent(self, case: Case) -> Explanation | None:
        """A sync that changed nothing in the status, one for each period; it may ask for another number."""
        last, at = self._last, case.at
        if last is None or last.proposed is None or at - self._noted < case.controller.sync:
            return None
        self._noted = at
        newest = replace(case, seen=case.seen[-1:])
        decision, memory, source = judge(newest)
        if case.told.rescaled or source == STATUS:  # what it saw is not known: it asks for the same again
            again = ScaleProposal(at, last.desired, last.proposed)
            self._memory = remember(case.policy, case.controller, self._memory, again)
            return None
        same = (decision.proposed, reasons.reason(decision)) == (last.proposed, reasons.reason(last))
        self._remember(newest, decision, memory)
        return None if same else self._computed(newest, decision, source)

    def _explained(self, case: Case, by_other: str) -> Explanation:
        if not case.told.looked:
            return Explanation(
                case.at, _about(case), None, None, "NotLookedYet", _not_yet(case), fix=_NOT_YET
            )
        if case.told.unable:
            return _unable(case)
        decision, memory, source = judge(case)
        self._remember(case, decision, memory)
        return self._computed(case, decision, source, by_other)

    def _computed(self, case: Case, decision: Decision, source: str, by_other: str = "") -> Explanation:
        watched = case.at - self._began
        gaps = tuple(unknown(case, decision, source, flags=self._flags, watched=watched))
        reason, why, fix = _said(case, decision)
        return Explanation(
            case.at,
            _about(case),
            case.told.current,
            decision.desired,
            reason,
            f"{why} {by_other}".strip(),
            source,
            gaps,
            fix,
            decision,
        )

    def _remember(self, case: Case, decision: Decision, memory: History) -> None:
        change = decision.desired - decision.current
        kept = replace(memory, ups=case.memory.ups, downs=case.memory.downs)
        behavior = case.policy.behavior
        self._memory = kept.rescaled(at=case.at, change=change, behavior=behavior)
        self._last, self._noted = decision, case.at


def new(before: Explanation | None, after: Explanation) -> bool:
    """Whether an explanation says something new: a change of replicas, or of the reason for none."""
    return before is None or after.scales or (before.reason, before.after) != (after.reason, after.after)


def _about(case: Case) -> str:
    return f"hpa/{case.seen[-1].hpa['metadata']['name']}"


_NOT_YET = (
    "see whether kube-controller-manager runs: kubectl get lease kube-controller-manager -n kube-system"
)


def _not_yet(case: Case) -> str:
    existing = case.seen[-1].current
    stays = "" if existing is None else f" The target has {existing} replicas."
    return f"Nothing is decided yet: the controller has not looked at this HPA.{stays}"


def _unable(case: Case) -> Explanation:
    """The scale could not be read, or not be written."""
    able, now = case.told.able, case.told
    meaning = reasons.CONDITIONS.get(able.reason, reasons.Meaning("the controller can't scale"))
    why = f"Does nothing: {meaning.says} ({able.message})."
    known = able.reason == "FailedUpdateScale"
    stays = now.current if known else None
    notes = tuple(case.seen[-1].notes)
    return Explanation(case.at, _about(case), stays, stays, able.reason, why, STATUS, notes, meaning.fix)


def _said(case: Case, decision: Decision) -> tuple[str, str, str]:
    """Reason, sentence and fix."""
    active = case.told.active
    if not case.told.inactive or decision.bounded:
        return reasons.reason(decision), decision.why, ""
    meaning = reasons.CONDITIONS.get(active.reason, reasons.Meaning("the controller can't compute a number"))
    why = f"Stays at {decision.current}: {meaning.says} ({active.message})."
    return active.reason, why, meaning.fix


def _someone(before: int | None, now: int, writers: Iterable[Writer]) -> str:
    """Who changed the replicas between two syncs, if the managed fields say so."""
    others = [writer for writer in writers if writer.manager != "kube-controller-manager"]
    latest = max(others, key=lambda writer: writer.at or 0.0, default=None)
    name = f"{latest.manager} (by the managed fields)" if latest else "somebody else"
    return f"Before that, {name} set {before} → {now}."
