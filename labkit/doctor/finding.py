"""What the doctor finds at one hop, and the whole diagnosis: the first broken hop, and how the others are.

A later hop that is not right either is `affected`: it may only suffer from the first, so it gets no blame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from labkit.doctor.facts import Observation

OK, BROKEN, AFFECTED, UNKNOWN, SKIPPED = "ok", "broken", "affected", "unknown", "skipped"
SIGNS = {OK: "✔", BROKEN: "✘", AFFECTED: "~", UNKNOWN: "?", SKIPPED: "–"}


@dataclass(frozen=True)
class Finding:
    """One hop, by itself: its state, what was seen, and where it is broken the likely cause and the fix."""

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
    """Can't be told: it was not to be seen, or it is too early."""
    return Finding(UNKNOWN, seen)


def skipped(seen: str) -> Finding:
    """This path does not lead through here."""
    return Finding(SKIPPED, seen)


def broken(fault: str, seen: str, *, cause: str, fix: str) -> Finding:
    """Wrong, whatever the other hops say."""
    return Finding(BROKEN, seen, fault, cause, fix)


@dataclass(frozen=True)
class Hop:
    """A hop of the path: its name, what must be true of it, and the pure function that judges it."""

    name: str
    expected: str
    judge: Callable[[Observation], Finding]


@dataclass(frozen=True)
class Step:
    """A hop as it was found, after the blame was laid."""

    hop: str
    expected: str
    finding: Finding
    state: str

    @property
    def told(self) -> tuple[tuple[str, str], ...]:
        """What a person wants to know of a broken hop, in the order of reading."""
        found = self.finding
        return (
            ("expected", self.expected),
            ("seen", found.seen),
            ("cause", found.cause),
            ("fix", found.fix),
        )

    def to_json(self) -> dict[str, Any]:
        """As one flat object."""
        return {"hop": self.hop, "expected": self.expected, **asdict(self.finding), "state": self.state}


@dataclass(frozen=True)
class Diagnosis:
    """All hops in the direction in which the number travels."""

    namespace: str
    steps: tuple[Step, ...]

    @property
    def broken(self) -> Step | None:
        """The first broken hop; None where there is none."""
        return next((step for step in self.steps if step.state == BROKEN), None)

    @property
    def hop(self) -> str:
        """Its name; empty where nothing is broken."""
        return self.broken.hop if self.broken else ""

    @property
    def summary(self) -> str:
        """One sentence for people."""
        if self.broken:
            return f"The first broken hop is {self.broken.hop}."
        if self.steps[0].state == UNKNOWN:
            return f"There is no path to walk yet: {self.steps[0].finding.seen}."
        early = [step.hop for step in self.steps if step.state == UNKNOWN]
        if early:
            return f"Nothing is broken; {', '.join(early)} can't be judged (yet)."
        return "Nothing is broken: the number reaches the HPA."

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        steps = [step.to_json() for step in self.steps]
        return {"namespace": self.namespace, "broken": self.hop, "summary": self.summary, "hops": steps}


def diagnose(seen: Observation, hops: Sequence[Hop]) -> Diagnosis:
    """Judge each hop by itself, then blame the first broken one only."""
    steps: list[Step] = []
    for hop in hops:
        finding = hop.judge(seen)
        follows = finding.state == BROKEN and any(step.state == BROKEN for step in steps)
        steps.append(Step(hop.name, hop.expected, finding, AFFECTED if follows else finding.state))
    return Diagnosis(seen.namespace, tuple(steps))
