"""The ledger of a real HPA: for each sync, what it saw, what our arithmetic computes, and what it did.

>>> ledger = read(Path("~/labs/lab/audit"), clock=15)        # doctest: +SKIP
>>> ledger.agreement                                        # doctest: +SKIP
1.0
>>> ledger.decisions[-1].why                                # doctest: +SKIP
'Stays at 10: …'

Made after the fact from the servers' audit logs, so no one needs to have watched. A disagreement is kept and
shown, never smoothed over. A sync whose HPA is ambiguous is not judged: there the HPA's status is repeated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from course.hpa import audit
from course.hpa.arithmetic import decide
from course.hpa.decision import Decision, amount
from course.hpa.limits import History, StageResult
from course.hpa.policy import Controller
from course.hpa.proposal import Proposal
from course.hpa.readings import Look
from course.hpa.syncs import Sync, Watched
from labkit.errors import BadInput
from labkit.evidence.timeline import Timeline
from labkit.lab import Lab

LAG = 0.25
"""Real seconds by which the controller's own cache of pods may be behind the API server."""


@dataclass(frozen=True)
class Line:
    """One sync. `at` is in lab seconds since the first one; `decision` is ours, `did` the controller's."""

    at: float
    sync: Sync
    decision: Decision
    note: str = ""

    @property
    def did(self) -> int:
        """The replicas that the controller left behind."""
        return self.sync.did

    @property
    def judged(self) -> bool:
        """Whether it was recomputed; otherwise it only repeats what the controller said."""
        return not self.sync.told

    @property
    def agrees(self) -> bool:
        """Whether the arithmetic agrees with what the controller did."""
        return self.decision.desired == self.did

    @property
    def why(self) -> str:
        """Why it did, or did not, scale."""
        return self.decision.why

    @property
    def sentence(self) -> str:
        """The same, plus what the controller did if that differs, and what had to be assumed."""
        other = "" if self.agrees else f" But the controller left {self.did}."
        return self.why + other + (f" ({self.note})" if self.note else "")

    def row(self) -> dict[str, str]:
        """The line as a row of a table."""
        decision = self.decision
        blind = bool(decision.look.unreadable)
        return {
            "lab s": f"{self.at:.0f}",
            "saw": _saw(decision),
            "raw": _cell(decision.raw),
            "proposed": _cell(decision.proposed),
            "stabilized": _cell(None if blind else decision.stabilized.replicas),
            "limited": _cell(None if blind else decision.limited.replicas),
            "desired": "-" if blind else f"{decision.current} → {decision.desired}",
            "did": "-" if blind else str(self.did),
            "": ("✓" if self.agrees else "✗") if self.judged else "–",
            "why": self.sentence,
        }


@dataclass(frozen=True, repr=False)
class Ledger:
    """All lines of one or several HPAs, in chronological order."""

    lines: tuple[Line, ...]
    clock: float

    def __repr__(self) -> str:
        return f"<ledger of {self}>"

    def __str__(self) -> str:
        judged = [line for line in self.lines if line.judged]
        agreeing = sum(line.agrees for line in judged)
        share = f" ({self.agreement:.1%})" if judged else ""
        retold = len(self.lines) - len(judged)
        more = f", {retold} more as reported by the HPA's status" if retold else ""
        return f"{len(judged)} syncs, {agreeing} as computed{share}{more}"

    @property
    def agreement(self) -> float:
        """Share of the syncs in which the controller did what the arithmetic says."""
        judged = [line.agrees for line in self.lines if line.judged]
        return sum(judged) / len(judged) if judged else 1.0

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Our decisions, one for each sync."""
        return tuple(line.decision for line in self.lines)

    @property
    def disagreements(self) -> tuple[Line, ...]:
        """The syncs in which the controller did something else."""
        return tuple(line for line in self.lines if not line.agrees)

    def of(self, hpa: str = "", *, namespace: str = "", since: float = 0.0) -> Ledger:
        """Only the lines of one HPA or namespace, or those after a moment (Unix time)."""
        kept = (
            line
            for line in self.lines
            if hpa in {"", line.sync.hpa}
            and namespace in {"", line.sync.namespace}
            and line.sync.look.at >= since
        )
        return Ledger(_from_first(kept, self.clock), self.clock)

    def during(self, run: Timeline) -> Ledger:
        """Only the syncs during a recording, in its lab seconds."""
        if not run.began:
            raise BadInput(
                "No controller decided anything here.",
                cause="This timeline comes from the what-if model, or from a file.",
                fix="Pass what a recording returned: run = seen.stop(…).",
            )
        until = run.began + run.end() / run.clock
        kept = (line for line in self.lines if run.began <= line.sync.look.at <= until)
        return Ledger(_from(run.began, kept, self.clock), self.clock)

    def telling(self) -> Ledger:
        """Only the lines with something new: a change of replicas, or of the reason for no change."""
        kept, before = [], None
        for line in self.lines:
            state = _state(line.decision)
            if line.decision.scales or not line.agrees or state != before:
                kept.append(line)
            before = state
        return Ledger(tuple(kept), self.clock)

    def rows(self) -> list[dict[str, str]]:
        """The lines as rows of a table."""
        return [line.row() for line in self.lines]

    def sentences(self) -> list[tuple[float, float, str]]:
        """Moment (lab s), replicas left behind, and why: for each line."""
        return [(line.at, float(line.did), line.sentence) for line in self.lines]


def read(folder: Path | None, *, clock: float) -> Ledger:
    """The ledger of every HPA in the audit logs of a lab."""
    if folder is None:
        raise BadInput(
            "There is no ledger of this cluster's decisions.",
            cause="It is made from audit logs, which are on the control plane's own disks.",
            fix="Do this on the embedded cluster; here, `kubectl events --for=hpa/llm-hpa` shows some of it.",
        )
    return keep(Watched(audit.read(folder)), clock=clock)


def of_lab(lab: Lab, run: Timeline | None = None, *, hpa: str = "llm-hpa") -> Ledger:
    """Every sync of one HPA of a lab: those during a recording, or all of them."""
    found = read(lab.session.provider.audit_logs(), clock=lab.clock).of(hpa, namespace=lab.kube.namespace)
    return found.during(run) if run else found


def keep(watched: Watched, *, clock: float) -> Ledger:
    """Recompute every sync, each with the memory that the controller had by then."""
    histories: dict[str, History] = {}
    controller = Controller().compressed(clock)
    lines = []
    for sync in sorted(watched.syncs(), key=lambda sync: sync.look.at):
        if sync.told:
            lines.append(_retold(sync))
            continue
        before = histories.get(sync.uid, History())
        decision, after, note = _judge(watched, sync, before, controller)
        change = sync.did - sync.look.current
        # The controller remembers what it did, not what we think it should have done.
        done = replace(after, ups=before.ups, downs=before.downs)
        at = sync.acted or sync.look.at
        histories[sync.uid] = done.rescaled(at=at, change=change, behavior=sync.policy.behavior)
        shown = replace(decision, policy=sync.policy.stretched(clock))
        lines.append(Line(sync.look.at, sync, shown, note))
    return Ledger(_from_first(lines, clock), clock)


def _retold(sync: Sync) -> Line:
    """What the controller said that it did, with nothing of ours added."""
    none = StageResult(sync.look.current)
    decision = Decision(
        sync.look, sync.policy, (), None, None, none, StageResult(sync.did), sync.did, failure=sync.told
    )
    return Line(sync.look.at, sync, decision, "as reported by the HPA's status; not recomputed")


def _judge(
    watched: Watched, sync: Sync, before: History, controller: Controller
) -> tuple[Decision, History, str]:
    """Our decision; if it differs, tried again with pods as the controller's cache might have had them."""
    decision, after = decide(sync.policy, sync.look, before, controller=controller)
    if decision.desired == sync.did:
        return decision, after, ""
    for look, lag in _earlier(watched, sync):
        other, then = decide(sync.policy, look, before, controller=controller)
        if other.desired == sync.did:
            return other, then, f"with the pods as they stood {lag * 1000:.0f} ms before"
    return decision, after, ""


def _earlier(watched: Watched, sync: Sync) -> Iterator[tuple[Look, float]]:
    """The same look with older pods, newest first, and how much older they are (real seconds)."""
    at = sync.look.at
    for change in reversed(watched.pods.changes(since=at - LAG, until=at)):
        moment = math.nextafter(change, 0)
        pods = watched.pods_at(moment, namespace=sync.namespace, selector=sync.selector)
        yield replace(sync.look, pods=pods), at - change


def _from_first(lines: Iterable[Line], clock: float) -> tuple[Line, ...]:
    found = tuple(lines)
    return _from(found[0].sync.look.at, found, clock) if found else ()


def _from(zero: float, lines: Iterable[Line], clock: float) -> tuple[Line, ...]:
    return tuple(replace(line, at=(line.sync.look.at - zero) * clock) for line in lines)


def _state(decision: Decision) -> tuple[object, ...]:
    held = tuple((p.held, p.failure) for p in decision.proposals)
    return held, decision.stabilized.by, decision.limited.by, decision.bounded, decision.failure


def _saw(decision: Decision) -> str:
    """The numbers in short: `12.5 over 2 pods, 1 pending`."""
    return "; ".join(_seen(proposal) for proposal in decision.proposals) or "nothing asked"


def _seen(proposal: Proposal) -> str:
    groups = proposal.groups
    counts = {"pods": groups.counted, "pending": groups.pending, "without": groups.missing}
    pods = ", ".join(f"{len(names)} {word}" for word, names in counts.items() if names)
    if proposal.replicas is None:
        return "no answer"
    return f"{amount(proposal.target, proposal.usage)}{' over ' if pods else ''}{pods}"


def _cell(value: int | None) -> str:
    return "-" if value is None else str(value)
