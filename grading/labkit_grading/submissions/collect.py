"""A class's submissions as clean copies: one folder each, and one report of everything odd.

Each copy is made beside its final place and renamed, so there is never half of one.
Refuses a folder that contains anything else. One bad submission never affects another one.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nbformat

from labkit.errors import BadInput
from labkit_grading.submissions.handed_in import HandedIn, clean
from labkit_grading.submissions.intake import take_in
from labkit_grading.submissions.originals import ORIGINALS
from labkit_grading.submissions.released import Assignment
from labkit_grading.submissions.remark import PERSON, Remark, shown
from localcluster.stored import plain, write_atomically

REPORT, PAGE = "collected.json", "collected.md"
NOTHING = Remark("missing", "nothing in it differs from the release")
Status = Literal["collected", "needs a person", "untouched"]


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

    @property
    def status(self) -> Status:
        """Whether it can be graded, a person must look first, or there is nothing to grade."""
        if any(remark.kind == PERSON for remark in self.remarks):
            return PERSON
        return "collected" if self.answers else "untouched"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "student": self.student,
            "folder": self.folder,
            "status": self.status,
            "originals": f"{ORIGINALS}/{self.folder}",
            "answers": self.answers,
            "remarks": plain(self.remarks),
        }


def collect(
    source: Path, out: Path, wanted: Assignment, *, tell: Callable[[str], object] = lambda _: None
) -> list[Collected]:
    """Collect a class; clean copies and the report are then under `out`."""
    _refuse(source, out)
    intake = take_in(source, keep=out / ORIGINALS)
    out.mkdir(parents=True, exist_ok=True)
    done: list[Collected] = []
    write_report(out, done, intake.strays)
    for number, submission in enumerate(intake.submissions, 1):
        one = _one(clean(submission, wanted), out)
        done.append(one)
        write_report(out, done, intake.strays)
        tell(f"{number} of {len(intake.submissions)}: {one.student}, {one.answers} answers")
    return done


def _refuse(source: Path, out: Path) -> None:
    if out.resolve().is_relative_to(source.resolve()):
        raise BadInput(f"{out} is inside the submissions' folder.", fix="Name a folder outside of it.")
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / REPORT).exists())):
        raise BadInput(
            f"{out} is not empty.",
            cause="labkit collect did not create it, so it won't write there.",
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
    return summary(handed)


def summary(handed: HandedIn) -> Collected:
    """What a report says about one submission."""
    nothing = () if handed.answers or handed.for_a_person else (NOTHING,)
    return Collected(handed.student, handed.folder, handed.answers, (*handed.remarks, *nothing))


def write_report(out: Path, done: Iterable[Collected], nobodys: Iterable[str]) -> None:
    """Write what is known so far, for programs and for people."""
    every = list(done)
    data = {"submissions": [one.to_json() for one in every], "strays": list(nobodys)}
    write_atomically(out / REPORT, json.dumps(data, indent=1, ensure_ascii=False), mode=0o644)
    write_atomically(out / PAGE, page(every, list(nobodys)), mode=0o644)


def strays(out: Path) -> list[str]:
    """The files that belong to no student, as listed in a folder's report; none if there is no report."""
    path = out / REPORT
    return [str(one) for one in json.loads(path.read_text())["strays"]] if path.exists() else []


def page(done: Iterable[Collected], nobodys: Iterable[str]) -> str:
    """The report as Markdown: a row for each student, then every remark."""
    every = list(done)
    lines = ["# Submissions", "", *_for_a_person(every)]
    lines += ["| student | status | answers | remarks |", "|---|---|---|---|"]
    for one in every:
        flag = ", flagged" if one.flagged else ""
        lines.append(f"| {_cell(one.student)} | {one.status}{flag} | {one.answers} | {len(one.remarks)} |")
    for one in every:
        if one.remarks:
            lines += ["", f"## {_cell(one.student)}", "", *(f"- {_plain(str(r))}" for r in one.remarks)]
    if left := list(nobodys):
        lines += ["", "## Files without a student", "", *(f"- {_cell(stray)}" for stray in left)]
    return "\n".join([*lines, ""])


def _for_a_person(every: Iterable[Collected]) -> list[str]:
    names = [_cell(one.student) for one in every if one.status == PERSON]
    if not names:
        return []
    told = f"**Needs a person**, and is not graded automatically: {', '.join(names)}. The reasons are below; "
    return [f"{told}what was handed in is, byte for byte, in `{ORIGINALS}/`.", ""]


def _cell(text: str) -> str:
    """A stranger's text, escaped so that Markdown makes no table, HTML or link out of it."""
    return _plain(shown(text))


def _plain(line: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#|!" else c for c in line.replace("\n", " "))
