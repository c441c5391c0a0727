"""Writes a class's report from the evidence in its folder: once, or again with another rubric.

    evidence/ADA.evidence    what the grader saw        grades.csv     for a gradebook
    rubric.toml              what it is worth           grades.json    everything
    submitted.csv            when it came               manual.csv     points by hand
    students/ADA/            feedback.html, results.json (Gradescope)
    index.html               for the instructor         junit.xml
    questions.html           what a person grades
    collected.md             what was odd, by student   originals/ADA/   what was handed in

Evidence that can't be trusted or read affects only one student, never the class. Writes only below the
report's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import BadInput, typed
from labkit_grading.judging.bundle import SUFFIX, Bundle, load
from labkit_grading.judging.rubric import Rubric
from labkit_grading.judging.seal import Key
from labkit_grading.judging.sheet import Sheet, grade
from labkit_grading.report import added as additions
from labkit_grading.report import gradebook, gradescope, junit, pages
from labkit_grading.report.added import RUBRIC, Added
from labkit_grading.report.overview import Overview
from labkit_grading.submissions.collect import strays
from localcluster.stored import write_atomically

EVIDENCE = "evidence"


@dataclass(frozen=True)
class Graded:
    """All sheets, and students whose evidence could not be graded, with the reason.

    `untimed`: whose time of submission is not known, if lateness counts. `idle`: points that were not used.
    """

    sheets: tuple[Sheet, ...]
    failed: dict[str, str]
    untimed: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()


def write(
    report: Path, key: Key, *, added: Added | None = None, tell: Callable[[str], object] = lambda _: None
) -> Graded:
    """Grade all evidence under `report/evidence` by `report/rubric.toml`, and write everything."""
    found, failed = _evidence(report, key)
    known = additions.known(report, [one.student for one in found], added)
    known.keep(report)
    given, sheets = known.inputs(), []
    for number, bundle in enumerate(found, 1):
        sheet = grade(bundle, known.rubric, given.get(bundle.student))
        write_student(report, sheet, bundle, known.rubric)
        sheets.append(sheet)
        tell(f"{number} of {len(found)}: {sheet.student}, {sheet.score:g} of {sheet.most:g}")
    untimed = tuple(additions.untimed(sheets, known.rubric))
    done = Graded(tuple(sheets), failed, untimed, tuple(additions.idle(sheets, known.points)))
    write_class(report, done, known.rubric)
    return done


class Growing:
    """The report of a class that is being run: each student is graded and drawn once, when done."""

    def __init__(self, report: Path, key: Key) -> None:
        known = additions.known(report, ())
        self._report, self._rubric, self._given = report, known.rubric, known.inputs()
        self._bundles: dict[str, Bundle] = {}
        self._sheets: dict[str, Sheet] = {}
        self._failed: dict[str, str] = {}
        for bundle in _loaded(_paths(report), key, self._failed):
            self._take(bundle)

    def add(self, bundle: Bundle) -> Graded:
        """Grade a student, or grade one again, and write what changes."""
        self._failed.pop(bundle.folder, None)
        if self._bundles.get(bundle.folder) != bundle:
            self._take(bundle)
        sheets = [sheet for _, sheet in sorted(self._sheets.items())]
        untimed = tuple(additions.untimed(sheets, self._rubric))
        done = Graded(tuple(sheets), self._failed, untimed)
        write_class(self._report, done, self._rubric)
        return done

    def _take(self, bundle: Bundle) -> None:
        sheet = grade(bundle, self._rubric, self._given.get(bundle.student))
        write_student(self._report, sheet, bundle, self._rubric)
        self._bundles[bundle.folder], self._sheets[bundle.folder] = bundle, sheet


def _paths(report: Path) -> list[Path]:
    return sorted((report / EVIDENCE).glob(f"*{SUFFIX}"))


def _evidence(report: Path, key: Key) -> tuple[list[Bundle], dict[str, str]]:
    paths = _paths(report)
    if not paths:
        raise BadInput(
            f"There is no evidence in {report / EVIDENCE}.",
            cause="No class has been graded into this folder.",
            fix="Use the folder that was given as --out when the class was graded.",
        )
    failed: dict[str, str] = {}
    return list(_loaded(paths, key, failed)), failed


def _loaded(paths: list[Path], key: Key, failed: dict[str, str]) -> Iterator[Bundle]:
    for path in paths:
        try:
            yield load(path, key)
        except BadInput as error:
            failed[path.stem] = typed(f"{error.what} {error.cause}")


def write_student(report: Path, sheet: Sheet, bundle: Bundle, rubric: Rubric) -> None:
    """Write one student's files."""
    folder = report / "students" / sheet.folder
    drawn = pages.draw(bundle, folder)
    write_atomically(folder / "feedback.html", pages.feedback(sheet, rubric, drawn), mode=0o644)
    write_atomically(folder / "results.json", gradescope.results(sheet), mode=0o644)


def write_class(report: Path, done: Graded, rubric: Rubric) -> None:
    """Write the files about the whole class."""
    aside = pages.Aside(strays(report), done.untimed)
    texts = {
        "grades.csv": gradebook.grades_csv(done.sheets, rubric),
        "grades.json": gradebook.grades_json(done.sheets, rubric, done.failed),
        "junit.xml": junit.junit(done.sheets, rubric.title),
        "questions.html": pages.by_hand(done.sheets, rubric),
        "index.html": pages.the_class(Overview(done.sheets), rubric, done.failed, aside),
    }
    for name, text in texts.items():
        write_atomically(report / name, text, mode=0o644)


__all__ = ["EVIDENCE", "RUBRIC", "Added", "Graded", "Growing", "write", "write_class", "write_student"]
