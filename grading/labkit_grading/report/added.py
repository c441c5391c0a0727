"""What a person added to a report: a rubric, times of submission, points by hand. Kept in its folder.

Everything that is given is read and checked before anything is written, so a mistake in one file leaves the
report as it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labkit_grading.judging import instructor
from labkit_grading.judging import rubric as rubrics
from labkit_grading.judging.instructor import MANUAL, SUBMITTED, Row
from labkit_grading.judging.rubric import Rubric
from labkit_grading.judging.sheet import InstructorInput, Sheet
from localcluster.stored import write_atomically

RUBRIC = "rubric.toml"
TIMES, POINTS = "submitted.csv", "manual.csv"


@dataclass(frozen=True)
class Added:
    """Files that a person adds: another rubric, when submissions came, points for manual questions."""

    submitted: Path | None = None
    manual: Path | None = None
    rubric: Path | None = None


@dataclass(frozen=True)
class Known:
    """All that was added to a report until now."""

    rubric: Rubric
    texts: Mapping[str, str] = field(default_factory=dict)
    """The files to keep, by name."""
    times: Sequence[Row] = ()
    points: Sequence[Row] = ()

    def inputs(self) -> dict[str, InstructorInput]:
        """What is known about each student."""
        return instructor.inputs(self.times, self.points)

    def keep(self, report: Path) -> None:
        """Write it into the report's folder."""
        for name, text in self.texts.items():
            write_atomically(report / name, text, mode=0o644)


def known(report: Path, students: Collection[str], added: Added | None = None) -> Known:
    """What was kept, and what is added now; raises `BadInput` for a mistake in it, and writes nothing."""
    added = added or Added()
    rubric = rubrics.load(added.rubric or report / RUBRIC)
    times = instructor.rows(added.submitted, SUBMITTED, students)
    points = instructor.rows(added.manual, MANUAL, students, rubric)
    all_times = instructor.merged(instructor.kept(report / TIMES, SUBMITTED), times, SUBMITTED)
    all_points = instructor.merged(instructor.kept(report / POINTS, MANUAL), points, MANUAL)
    texts = {RUBRIC: added.rubric.read_text()} if added.rubric else {}
    texts |= {TIMES: instructor.text(all_times, SUBMITTED)} if times else {}
    texts |= {POINTS: instructor.text(all_points, MANUAL)} if points else {}
    instructor.inputs(all_times, all_points)  # someone may have edited what was kept
    return Known(rubric, texts, all_times, all_points)


def untimed(sheets: Sequence[Sheet], rubric: Rubric) -> list[str]:
    """Students whose time is not known although lateness counts: nobody may take them for punctual."""
    return [one.student for one in sheets if one.submitted is None] if rubric.late else []


def idle(sheets: Sequence[Sheet], points: Sequence[Row]) -> Iterator[str]:
    """Points by hand that changed nothing, as the check was judged or the question is gone."""
    graded = {(sheet.student, line.id) for sheet in sheets for line in sheet.lines if line.state == "graded"}
    for row in points:
        who, name = row.values["student"], row.values["id"]
        if (who, name) not in graded and any(sheet.student == who for sheet in sheets):
            yield f"{who}, {name}: it is no question of the rubric, or was judged automatically"
