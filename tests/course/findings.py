"""What `labkit validate` finds: points in each situation, and what does not hold, with cause and fix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from labkit import checks
from labkit.evidence import Verdict
from labkit_grading.judging.rubric import Rubric
from labkit_grading.judging.sheet import Line, judged, weigh


@dataclass(frozen=True)
class Problem:
    """Something that does not hold: where, what, why that may be, and what to do."""

    where: str
    what: str
    cause: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}\n  cause: {self.cause}\n  fix:   {self.fix}"


@dataclass(frozen=True)
class Scored:
    """Points in one situation, of those that were to be had; what does not hold."""

    points: float
    of: float
    problems: Sequence[Problem] = ()

    def __str__(self) -> str:
        return f"{self.points:g} of {self.of:g}"


def points(verdicts: Iterable[Verdict], rubric: Rubric) -> float:
    """What these verdicts earn, by the arithmetic of `labkit grade`; a check without one earns nothing."""
    there: Mapping[str, Verdict] = {verdict.id: verdict for verdict in verdicts}
    lines = {
        name: judged(there[name]) if name in there else Line(name, "not reached", 0.0, 0.0)
        for name in rubric.checks
    }
    return sum(line.points for line in weigh(lines, rubric))


def of_notebook(rubric: Rubric, number: str) -> Rubric:
    """The part of a rubric that one notebook earns."""
    own = {name: worth for name, worth in rubric.checks.items() if checks.get(name).notebook == number}
    return Rubric(rubric.title, own, self_reported=rubric.self_reported)
