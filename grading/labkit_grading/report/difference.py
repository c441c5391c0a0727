"""What changed between two gradings of a class: for each student and check, the old and the new points. Pure.

Reads what `grades.json` says. Refuses a file that is not one; a student or check that only one of them has is
a change, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.errors import BadInput

GRADES = "grades.json"
TOTAL = "in all"


@dataclass(frozen=True)
class Mark:
    """What a check earned, and why; None of both where one grading does not have it."""

    points: float | None = None
    state: str = ""

    def __str__(self) -> str:
        return "–" if self.points is None else f"{self.points:g} {self.state}".rstrip()


@dataclass(frozen=True)
class Change:
    """One check of one student whose points or state changed."""

    student: str
    check: str
    old: Mark
    new: Mark


def read(path: Path) -> Mapping[str, Mapping[str, Mark]]:
    """The grades of a report's folder, or of one such file."""
    file = path / GRADES if path.is_dir() else path
    try:
        return {one["student"]: _marks(one) for one in json.loads(file.read_text())["students"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path} holds no grades.",
            cause=f"{file.name} is missing or was not written by labkit.",
            fix="Name the report's folder of a graded class, or a copy of its grades.json.",
        ) from error


def changes(old: Mapping[str, Mapping[str, Mark]], new: Mapping[str, Mapping[str, Mark]]) -> Iterator[Change]:
    """Every change, by student; the last line of each is the score."""
    for student in sorted({*old, *new}):
        before, after = old.get(student, {}), new.get(student, {})
        for check in dict.fromkeys([*before, *after]):
            one, other = before.get(check, Mark()), after.get(check, Mark())
            if one != other:
                yield Change(student, check, one, other)


def _marks(sheet: Mapping[str, Any]) -> dict[str, Mark]:
    """By check, and for the whole, which comes last."""
    marks = {line["id"]: Mark(line["points"], line["state"]) for line in sheet["lines"]}
    return {**marks, TOTAL: Mark(sheet["score"], "" if sheet["status"] == "graded" else sheet["status"])}
