"""What the doctor finds at one hop, and the whole diagnosis: the first broken hop, and the others' state.

Any other hop that looks wrong is `affected`: the first one might be the reason, so it gets no blame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from labkit.doctor.facts import Observation
from localcluster.stored import plain

OK, BROKEN, AFFECTED, UNKNOWN, SKIPPED = "ok", "broken", "affected", "unknown", "skipped"
WARNING = "warning"
SIGNS = {OK: "✔", BROKEN: "✘", WARNING: "!", AFFECTED: "~", UNKNOWN: "?", SKIPPED: "–"}


@dataclass(frozen=True)
class Finding:
    """One hop by itself: its state, what was seen and, if it is broken, the likely cause and the fix."""

    state: str
    seen: str
    fault: str = ""
    """A short name for what is wrong, such as `orphaned-pod`."""
    cause: str = ""
    fix: str = ""


def ok(seen: str) -> Finding:
    """Nothing wrong here."""
    return Finding(OK, seen)


def unknown(seen: str) -> Finding:
    """Not known: it could not be observed, or it is too early."""
    return Finding(UNKNOWN, seen)


def skipped(seen: str) -> Finding:
    """This path does not include the hop."""
    return Finding(SKIPPED, seen)


def broken(fault: str, seen: str, *, cause: str, fix: str) -> Finding:
    """Wrong, whatever the state of the other hops."""
    return Finding(BROKEN, seen, fault, cause, fix)


def warning(fault: str, seen: str, *, cause: str, fix: str) -> Finding:
    """Not as it should be, but the number gets through: it breaks nothing, and explains no other hop."""
    return Finding(WARNING, seen, fault, cause, fix)


@dataclass(frozen=True)
class Hop:
    """A hop of the path: its name, what must be true of it, and the pure function that judges it."""

    name: str
    expected: str
    judge: Callable[[Observation], Finding]


@dataclass(frozen=True)
class Step:
    """A hop with its final state, after the blame has been assigned."""

    hop: str
    expected: str
    finding: Finding
    state: str

    @property
    def told(self) -> tuple[tuple[str, str], ...]:
        """What a person wants to know about a broken hop, in reading order."""
        found = self.finding
        return (
            ("expected", self.expected),
            ("seen", found.seen),
            ("cause", found.cause),
            ("fix", found.fix),
        )

    def to_json(self) -> dict[str, Any]:
        """The finding as one flat JSON object."""
        return {"hop": self.hop, "expected": self.expected, **plain(self.finding), "state": self.state}


@dataclass(frozen=True)
class Diagnosis:
    """All hops, in the direction in which the number travels."""

    namespace: str
    steps: tuple[Step, ...]

    @property
    def broken(self) -> Step | None:
        """The first broken hop; None if there is none."""
        return next((step for step in self.steps if step.state == BROKEN), None)

    @property
    def warning(self) -> Step | None:
        """The first hop with a warning; None if there is none."""
        return next((step for step in self.steps if step.state == WARNING), None)

    @property
    def first(self) -> Step | None:
        """What to mend first: the broken hop or, if nothing is broken, the first warning."""
        return self.broken or self.warning

    @property
    def hop(self) -> str:
        """The name of the broken hop; empty if nothing is broken."""
        return self.broken.hop if self.broken else ""

    @property
    def summary(self) -> str:
        """One sentence for people."""
        if self.broken:
            return f"The first broken hop is {self.broken.hop}."
        if self.warning:
            return f"Nothing is broken, but {self.warning.hop} could be better."
        if self.steps[0].state == UNKNOWN:
            return f"There is no path to check yet: {self.steps[0].finding.seen}."
        early = [step.hop for step in self.steps if step.state == UNKNOWN]
        if early:
            return f"Nothing is broken; {', '.join(early)} can't be judged (yet)."
        return "Nothing is broken: the number reaches the HPA."

    def to_json(self) -> dict[str, Any]:
        """The diagnosis as JSON, for programs."""
        steps = [step.to_json() for step in self.steps]
        return {"namespace": self.namespace, "broken": self.hop, "summary": self.summary, "hops": steps}


def diagnose(namespace: str, hops: Sequence[Hop], found: Sequence[Finding]) -> Diagnosis:
    """Blame the first broken hop only; `found` is what was found at each hop by itself."""
    blamed = next((finding for finding in found if finding.state == BROKEN), None)
    steps = (
        Step(hop.name, hop.expected, finding, _state(finding, blamed))
        for hop, finding in zip(hops, found, strict=True)
    )
    return Diagnosis(namespace, tuple(steps))


def _state(finding: Finding, blamed: Finding | None) -> str:
    return AFFECTED if finding.state == BROKEN and finding is not blamed else finding.state


def merged(found: Sequence[tuple[str, Finding]]) -> Finding:
    """One hop of several metrics: the worst of what was found, with the name of the metric that it is about.

    An HPA goes on while one of its metrics can be read.
    """
    first = found[0][1]
    if all(finding == first for _, finding in found):
        return first
    state = next(s for s in (BROKEN, WARNING, UNKNOWN, OK, SKIPPED) if any(f.state == s for _, f in found))
    chosen = [(name, finding) for name, finding in found if finding.state == state]
    if state not in {BROKEN, WARNING}:
        return Finding(state, "; ".join(f"{name}: {finding.seen}" for name, finding in chosen))
    name, worst = chosen[0]
    others = ", ".join(other for other, finding in found if finding.state != BROKEN)
    more = f" By {others} the HPA still scales up, but never down." if state == BROKEN and others else ""
    return replace(worst, seen=f"{name}: {worst.seen}", cause=worst.cause + more)
