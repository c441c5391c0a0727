"""A class's submissions as clean copies: one folder each, and one report of everything odd.

Each copy is made beside its place and renamed, so there is never half of one; it is written as it comes.
Refuses a folder that holds anything else. One bad submission never costs another's.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from labkit._proc import write_atomically
from labkit.errors import BadInput
from labkit.grading.submissions.handed_in import HandedIn, clean
from labkit.grading.submissions.intake import take_in
from labkit.grading.submissions.released import Assignment
from labkit.grading.submissions.remark import Remark, shown

REPORT, PAGE = "collected.json", "collected.md"
NOTHING = Remark("missing", "nothing in it differs from what was released")


@dataclass(frozen=True)
class Collected:
    """One student's copy, and what was odd about it."""

    student: str
    folder: str
    answers: int
    remarks: tuple[Remark, ...]

    @property
    def flagged(self) -> bool:
        """Whether a person should look."""
        return any(remark.kind == "flagged" for remark in self.remarks)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "student": self.student,
            "folder": self.folder,
            "answers": self.answers,
            "remarks": [remark.to_json() for remark in self.remarks],
        }


def collect(
    source: Path, out: Path, wanted: Assignment, *, tell: Callable[[str], object] = lambda _: None
) -> list[Collected]:
    """Take in a class; clean copies and the report lie under `out` afterwards."""
    _refuse(source, out)
    intake = take_in(source)
    out.mkdir(parents=True, exist_ok=True)
    done = []
    for number, submission in enumerate(intake.submissions, 1):
        one = _one(clean(submission, wanted), out)
        done.append(one)
        write_report(out, done, intake.strays)
        tell(f"{number} of {len(intake.submissions)}: {one.student}, {one.answers} answers")
    return done


def _refuse(source: Path, out: Path) -> None:
    if out.resolve().is_relative_to(source.resolve()):
        raise BadInput(f"{out} lies inside of the submissions.", fix="Name a folder beside them.")
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / REPORT).exists())):
        raise BadInput(
            f"{out} holds something already.",
            cause="labkit collect did not make it, so it won't write there.",
            fix="Name a new folder, or an empty one.",
        )


def _one(handed: HandedIn, out: Path) -> Collected:
    place = out / handed.folder
    with tempfile.TemporaryDirectory(dir=out, prefix=f".{handed.folder}.") as folder:
        new = Path(folder) / "new"
        (new / "notebooks").mkdir(parents=True)
        for stem, restored in handed.notebooks.items():
            nbformat.write(restored.notebook, new / "notebooks" / f"{stem}.ipynb")
        for path, data in handed.exercises.items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_bytes(data)
        if place.exists():
            shutil.move(place, Path(folder) / "old")
        new.rename(place)
    remarks = handed.remarks if handed.answers else (*handed.remarks, NOTHING)
    return Collected(handed.student, handed.folder, handed.answers, remarks)


def write_report(out: Path, done: Iterable[Collected], strays: Iterable[str]) -> None:
    """Write what is known by now, for programs and for people."""
    every = list(done)
    data = {"submissions": [one.to_json() for one in every], "strays": list(strays)}
    write_atomically(out / REPORT, json.dumps(data, indent=1, ensure_ascii=False), mode=0o644)
    write_atomically(out / PAGE, page(every, list(strays)), mode=0o644)


def page(done: Iterable[Collected], strays: Iterable[str]) -> str:
    """The report as Markdown: a row for each student, then every remark."""
    every = list(done)
    lines = ["# Submissions", "", "| student | answers | remarks |", "|---|---|---|"]
    for one in every:
        flag = " (flagged)" if one.flagged else ""
        lines.append(f"| {_cell(one.student)}{flag} | {one.answers} | {len(one.remarks)} |")
    for one in every:
        if one.remarks:
            lines += ["", f"## {_cell(one.student)}", "", *(f"- {_cell(str(r))}" for r in one.remarks)]
    if left := list(strays):
        lines += ["", "## Files of nobody", "", *(f"- {_cell(stray)}" for stray in left)]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    """Text of a stranger in Markdown: no table, no HTML and no link grows out of it."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#|!" else c for c in shown(text))
