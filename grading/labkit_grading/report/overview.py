"""The class in figures: how the scores are spread, which checks are hard, where students got stuck. Pure.

What could not be judged for reasons on our side, or needs a person, is not a wrong answer and is left out of
all these figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

from labkit_grading.judging.sheet import Line, Sheet
from labkit_grading.submissions.remark import PERSON

BINS = 10
STUCK = 3
"""A student with this many failed checks in a row at the end counts as stuck at the first of them."""


@dataclass(frozen=True)
class Bin:
    """How many students have a score between two percentages of the maximum."""

    low: int
    high: int
    count: int


@dataclass(frozen=True)
class Hard:
    """One check: how many of the judged students passed it, and what most of the others showed."""

    check: str
    passed: int
    judged: int
    typical: str

    @property
    def share(self) -> float:
        """The share of those judged that passed."""
        return self.passed / max(self.judged, 1)


@dataclass(frozen=True)
class Overview:
    """The whole class."""

    sheets: Sequence[Sheet]

    @property
    def shares(self) -> list[float]:
        """For each student with anything judged: the score as a share of the points that were judged."""
        most = [(sheet.score, sheet.most - sum(x.of for x in _open(sheet))) for sheet in self.sheets]
        return [score / judged for score, judged in most if judged > 0]

    @property
    def mean(self) -> float:
        """The mean share."""
        return mean(self.shares or [0.0])

    @property
    def median(self) -> float:
        """The median share."""
        return median(self.shares or [0.0])

    @property
    def bins(self) -> list[Bin]:
        """The distribution; full marks are in the last bin."""
        places = [min(int(share * BINS), BINS - 1) for share in self.shares]
        width = 100 // BINS
        return [Bin(n * width, (n + 1) * width, places.count(n)) for n in range(BINS)]

    @property
    def everybody(self) -> list[Line]:
        """The checks that pass without any work, each once, with the most that someone got for it."""
        lines = [line for sheet in self.sheets for line in sheet.lines if line.everybody]
        best = {line.id: max(lines, key=lambda one: (one.id == line.id, one.points)) for line in lines}
        return [best[name] for name in sorted(best)]

    @property
    def hardest(self) -> list[Hard]:
        """Checks that at least one student failed, the hardest first."""
        names = dict.fromkeys(line.id for sheet in self.sheets for line in sheet.lines)
        every = (_hard(name, [x for s in self.sheets for x in s.lines if x.id == name]) for name in names)
        return sorted((one for one in every if one.passed < one.judged), key=lambda one: one.share)

    @property
    def stuck(self) -> list[tuple[str, str]]:
        """Students with several checks after the last one that they passed, and the first of these."""
        found = ((sheet.student, _stuck(sheet)) for sheet in self.sheets)
        return [(student, check) for student, check in found if check]

    @property
    def for_a_person(self) -> list[tuple[Sheet, tuple[str, ...]]]:
        """Students whose work could not be taken, or not completely, and why."""
        return [(sheet, sheet.for_a_person) for sheet in self.sheets if sheet.for_a_person]

    @property
    def ours(self) -> list[tuple[str, str, str]]:
        """What could not be judged: the student, the checks, and why."""
        names: dict[tuple[str, str], list[str]] = {}
        for sheet in self.sheets:
            for line in sheet.unjudged:
                names.setdefault((sheet.student, line.observed), []).append(line.id)
        return [(student, ", ".join(checks), why) for (student, why), checks in names.items()]


def _open(sheet: Sheet) -> list[Line]:
    """What has not been judged yet."""
    return [*sheet.unjudged, *(line for line in sheet.lines if line.state == PERSON)]


def _hard(name: str, lines: Sequence[Line]) -> Hard:
    judged = [x for x in lines if x.state in {"passed", "failed", "forged", "not reached"}]
    wrong = [x.note or x.observed for x in judged if x.state != "passed"]
    typical = max(wrong, key=wrong.count) if wrong else ""
    return Hard(name, sum(x.state == "passed" for x in judged), len(judged), typical)


def _stuck(sheet: Sheet) -> str:
    judged = [x for x in sheet.lines if x.state in {"passed", "failed", "not reached"}]
    tail: list[Line] = []
    for line in reversed(judged):
        if line.state == "passed":
            break
        tail.append(line)
    return tail[-1].id if len(tail) >= STUCK else ""
