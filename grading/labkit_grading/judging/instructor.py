"""What a person adds to a class's grades: when each submission came, and points for manual questions.

    submitted.csv   student,timestamp              2026-12-01T23:59:00+00:00
    manual.csv      student,id,points,comment

Never taken from a submission: a student who hands in late could write any time into it. Refuses a line that
it can't read, giving its number, and an unknown student or question.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from labkit.errors import BadInput
from labkit_grading.judging.sheet import InstructorInput


def instructor_inputs(
    students: Collection[str], *, submitted: Path | None, manual: Path | None
) -> dict[str, InstructorInput]:
    """What is known about each student; students about whom nothing is known are left out."""
    found: dict[str, InstructorInput] = {}
    for where, row in _rows(submitted, ("student", "timestamp")):
        who = _student(row, students, where)
        found[who] = replace(found.get(who, InstructorInput()), submitted=_moment(row["timestamp"], where))
    for where, row in _rows(manual, ("student", "id", "points", "comment")):
        who = _student(row, students, where)
        one = found.get(who, InstructorInput())
        given = {**(one.manual or {}), row["id"]: (_points(row["points"], where), row["comment"])}
        found[who] = replace(one, manual=given)
    return found


def _rows(path: Path | None, columns: tuple[str, ...]) -> Iterator[tuple[str, Mapping[str, str]]]:
    if path is None:
        return
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
            raise BadInput(f"{path} has no column {', '.join(missing)}.", fix=f"Head: {','.join(columns)}")
        for row in reader:
            yield (
                f"{path.name}, line {reader.line_num}",
                {name: (row[name] or "").strip() for name in columns},
            )


def _student(row: Mapping[str, str], students: Collection[str], where: str) -> str:
    if row["student"] not in students:
        raise BadInput(
            f"{where}: there is no student {row['student']!r}.", fix="Use the names of grades.csv."
        )
    return row["student"]


def _moment(text: str, where: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{where}: {text!r} is not a time.", fix="2026-12-01T23:59:00+00:00") from error
    if found.tzinfo is None:
        raise BadInput(f"{where}: {text!r} has no time zone.", fix="2026-12-01T23:59:00+00:00")
    return found


def _points(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise BadInput(f"{where}: {text!r} is not a number of points.", fix="Write 4 or 4.5.") from error
