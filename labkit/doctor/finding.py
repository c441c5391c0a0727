"""What the doctor finds at one hop, and the whole diagnosis: the first broken hop, and the others' state.

Any other hop that looks wrong is `affected`: the first one might be the reason, so it gets no blame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.doctor.facts import Observation
from localcluster.stored import plain

OK, BROKEN, AFFECTED, UNKNOWN, SKIPPED = "ok", "broken", "affected", "unknown", "skipped"
SIGNS = {OK: "✔", BROKEN: "✘", AFFECTED: "~", UNKNOWN: "?", SKIPPED: "–"}


@dataclass(frozen=True)
class Finding:
    """One hop by itself: its state, what was seen and, if it is broken, the likely cause and the fix."""

    state: str
    seen: str
    fault: str = ""
    """A short name for what is wrong, such as `orphaned-pod`."""
    cause: str = ""
    fix: str = ""
    lesser: bool = False
    """Wrong, but the number still gets through: it is blamed only if no other hop is."""


def ok(seen: str) -> Finding:
    """Nothing wrong here."""
    return Finding(OK, seen)


def unknown(seen: str) -> Finding:
    """Not known: it could not be observed, or it is too early."""
    return Finding(UNKNOWN, seen)


def skipped(seen: str) -> Finding:
    """This path does not include the hop."""
    return Finding(SKIPPED, seen)


def broken(fault: str, seen: str, *, cause: str, fix: str, lesser: bool = False) -> Finding:
    """Wrong, whatever the state of the other hops."""
    return Finding(BROKEN, seen, fault, cause, fix, lesser)


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
    def hop(self) -> str:
        """The name of the broken hop; empty if nothing is broken."""
        return self.broken.hop if self.broken else ""

    @property
    def summary(self) -> str:
        """One sentence for people."""
        if self.broken:
            return f"The first broken hop is {self.broken.hop}."
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


def diagnose(seen: Observation, hops: Sequence[Hop]) -> Diagnosis:
    """Judge each hop by itself, then blame the first broken one only."""
    found = [hop.judge(seen) for hop in hops]
    faults = [finding for finding in found if finding.state == BROKEN]
    blamed = next((finding for finding in faults if not finding.lesser), faults[0] if faults else None)
    steps = (
        Step(hop.name, hop.expected, finding, _state(finding, blamed))
        for hop, finding in zip(hops, found, strict=True)
    )
    return Diagnosis(seen.namespace, tuple(steps))


def _state(finding: Finding, blamed: Finding | None) -> str:
    return AFFECTED if finding.state == BROKEN and finding is not blamed else finding.state
