"""What a person adds to a class's grades: when each submission came, and points for manual questions.

    submitted.csv   student,timestamp              2026-12-01T23:59:00+00:00
    manual.csv      student,id,points,comment

Both are kept in the report's folder: a row that is given again replaces the earlier one, all others stay.
Never taken from a submission: a student who hands in late could write any time into it. Refuses, before
anything is written, a line that it can't read, giving its number, and an unknown student or question.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from labkit.errors import BadInput
from labkit_grading.judging.names import cell, of_cell
from labkit_grading.judging.rubric import Rubric
from labkit_grading.judging.sheet import InstructorInput
from labkit_grading.submissions.text import decoded

SUBMITTED, MANUAL = ("student", "timestamp"), ("student", "id", "points", "comment")
"""The columns of the two files."""
KEY = {SUBMITTED: ("student",), MANUAL: ("student", "id")}
"""What a row is about."""


@dataclass(frozen=True)
class Row:
    """One line of a file: `where` it stands, and its values, the student by their name in the evidence."""

    where: str
    values: Mapping[str, str]


def instructor_inputs(
    students: Collection[str],
    *,
    submitted: Path | None = None,
    manual: Path | None = None,
    rubric: Rubric | None = None,
) -> dict[str, InstructorInput]:
    """What two files say about each student; students about whom nothing is known are left out."""
    times = rows(submitted, SUBMITTED, students)
    return inputs(times, rows(manual, MANUAL, students, rubric))


def inputs(times: Iterable[Row], points: Iterable[Row]) -> dict[str, InstructorInput]:
    """The same, from rows."""
    found: dict[str, InstructorInput] = {}
    for row in times:
        who = row.values["student"]
        found[who] = replace(
            found.get(who, InstructorInput()), submitted=_moment(row.values["timestamp"], row.where)
        )
    for row in points:
        one = found.get(row.values["student"], InstructorInput())
        worth = _points(row.values["points"], row.where)
        given = {**(one.manual or {}), row.values["id"]: (worth, row.values["comment"])}
        found[row.values["student"]] = replace(one, manual=given)
    return found


def rows(
    path: Path | None, columns: tuple[str, ...], students: Collection[str], rubric: Rubric | None = None
) -> list[Row]:
    """The rows of a file that a person gave, all of them valid; none without a file."""
    found = [] if path is None else list(_read(path, columns))
    known = [Row(one.where, {**one.values, "student": _student(one, students)}) for one in found]
    seen: dict[tuple[str, ...], Row] = {}
    for row in known:
        first = seen.setdefault(_about(row, columns), row)
        if first.values != row.values:
            raise BadInput(
                f"{row.where}: {', '.join(_about(row, columns))} stands in {first.where} with other values.",
                fix="Leave one of the two.",
            )
        if "timestamp" in columns:
            _moment(row.values["timestamp"], row.where)
        else:
            _worth(row, rubric)
    return known


def kept(path: Path, columns: tuple[str, ...]) -> list[Row]:
    """The rows that were given before, whether their students and questions are still there or not."""
    found = _read(path, columns) if path.exists() else iter(())
    return [Row(one.where, {name: of_cell(value) for name, value in one.values.items()}) for one in found]


def merged(old: Sequence[Row], new: Sequence[Row], columns: tuple[str, ...]) -> list[Row]:
    """All rows, sorted; of two about the same thing, the new one."""
    every = {_about(row, columns): row for row in (*old, *new)}
    return [every[about] for about in sorted(every)]


def text(every: Iterable[Row], columns: tuple[str, ...]) -> str:
    """Rows as a CSV file, as `kept` reads it."""
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in row.values.items()} for row in every)
    return file.getvalue()


def _about(row: Row, columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(row.values[name] for name in KEY[columns])


def _read(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    try:
        saved, _ = decoded(path.read_bytes())
    except (BadInput, OSError) as error:
        raise BadInput(f"{path} can't be read: it is no text file.", fix="Save it as CSV.") from error
    head = saved.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(saved), delimiter=";" if head.count(";") > head.count(",") else ",")
    if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
        raise BadInput(f"{path} has no column {', '.join(missing)}.", fix=f"Head: {','.join(columns)}")
    for row in reader:
        values = {name: (row[name] or "").strip() for name in columns}
        if any(values.values()):
            yield Row(f"{path.name}, line {reader.line_num}", values)


def _student(row: Row, students: Collection[str]) -> str:
    """The student's name, from what stands in grades.csv, or as it is."""
    given = row.values["student"]
    if (who := of_cell(given)) in students:
        return who
    if given in students:
        return given
    raise BadInput(f"{row.where}: there is no student {given!r}.", fix="Use the names of grades.csv.")


def _moment(given: str, where: str) -> datetime:
    try:
        found = datetime.fromisoformat(given)
    except ValueError as error:
        raise BadInput(f"{where}: {given!r} is not a time.", fix="2026-12-01T23:59:00+00:00") from error
    if found.tzinfo is None:
        raise BadInput(f"{where}: {given!r} has no time zone.", fix="2026-12-01T23:59:00+00:00")
    return found


def _worth(row: Row, rubric: Rubric | None) -> None:
    """Raise for points that a question can't have, and for a question that the rubric does not have."""
    points, name = _points(row.values["points"], row.where), row.values["id"]
    if rubric is None:
        return
    most = {**{n: c.points for n, c in rubric.checks.items()}, **{m.id: m.points for m in rubric.manual}}
    if name not in most:
        known = ", ".join(one.id for one in rubric.manual) or "none"
        raise BadInput(
            f"{row.where}: there is no question or check {name!r}.",
            fix=f"Manual questions of the rubric: {known}; or use the id of one of its checks.",
        )
    if points > most[name]:
        raise BadInput(
            f"{row.where}: {points:g} points for {name}, which has {most[name]:g}.",
            fix="Give fewer points, or give the question more in the rubric.",
        )


def _points(given: str, where: str) -> float:
    try:
        points = float(given.replace(",", "."))
    except ValueError as error:
        raise BadInput(f"{where}: {given!r} is not a number of points.", fix="Write 4 or 4.5.") from error
    if not math.isfinite(points) or points < 0:
        raise BadInput(f"{where}: {given!r} is not a number of points.", fix="Use a number from 0 up.")
    return points
