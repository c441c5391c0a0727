"""Restores the course's own cells: from a handed-in notebook, only the contents of solution cells are taken.

Checks, parameters, imports, loads and recordings come from the released notebook, as in nbgrader's
OverwriteCells: https://nbgrader.readthedocs.io/en/stable/user_guide/autograding.html
No cells are added: a student's own cell has no place in the order of the course.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nbformat

from labkit_grading.submissions import reach
from labkit_grading.submissions.answers import Answers, answers
from labkit_grading.submissions.cells import Cell
from labkit_grading.submissions.matching import Match, mark, match
from labkit_grading.submissions.remark import Remark
from labkit_grading.submissions.text import same

FILES = "{ANSWERS}"  # in a path: the cell applies the student's own exercise file
_CHECK = re.compile(r"lab\.check\(\s*[\"']([^\"']+)")


@dataclass(frozen=True)
class Restored:
    """The notebook to run, how many solution cells were taken, and what was restored.

    `unsure`: checks that a person must grade, since what they judge could not be taken, and why.
    """

    notebook: Any
    answers: int
    remarks: tuple[Remark, ...]
    unsure: Mapping[str, str] = field(default_factory=dict)
    answered: tuple[str, ...] = ()
    """The checks that judge something that was taken."""


def restore(released: Any, handed: Sequence[Cell], *, name: str) -> Restored:
    """The released notebook with the student's solution cells."""
    found = match(released.cells, handed)
    lost = not any(cell.mark or cell.id for cell in handed)
    made = answers(found, [n for n, cell in enumerate(released.cells) if is_solution(cell)])
    notebook = nbformat.v4.new_notebook(metadata=released.metadata, cells=[])
    taken: list[int] = []
    for place, cell in enumerate(released.cells):
        copy = nbformat.from_dict(cell)
        if place in made.sources and not same(made.sources[place], cell.source):
            copy.source = made.sources[place]
            taken.append(place)
        notebook.cells.append(copy)
    remarks = [
        *_lost_marks(lost=lost),
        *made.remarks,
        *_doubled(found),
        *_changed(found),
        *_added(found),
        *_reaching(found, made),
    ]
    unsure = {check: why for n, why in made.unsure.items() for check in checks_after(released, n)}
    answered = tuple(dict.fromkeys(check for n in taken for check in checks_after(released, n)))
    told = tuple(Remark(r.kind, r.what, name) for r in remarks)
    return Restored(notebook, len(taken), told, unsure, answered)


def is_solution(cell: Any) -> bool:
    """Whether the student writes this cell."""
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def is_check(cell: Any) -> bool:
    """Whether this cell is one of the course's checks."""
    return bool(cell.metadata.get("nbgrader", {}).get("grade"))


def checks_of(released: Any) -> list[str]:
    """All checks of a notebook, in order."""
    return [name for cell in released.cells for name in check_names(cell)]


def checks_after(released: Any, place: int) -> list[str]:
    """The checks that judge a cell: the next ones, up to the course's next step."""
    names: list[str] = []
    for cell in released.cells[place + 1 :]:
        if names and cell.cell_type == "code" and not is_check(cell):
            break
        names += check_names(cell)
    return names


def checks_on(released: Any, file: str) -> list[str]:
    """The checks that judge an exercise file; all of the notebook's, if no cell names it."""
    cells = released.cells
    found = [
        n
        for n, cell in enumerate(cells)
        if cell.cell_type == "code" and FILES in cell.source and file in cell.source
    ]
    return [name for n in found for name in checks_after(released, n)] or checks_of(released)


def check_names(cell: Any) -> list[str]:
    """The checks that a cell calls, if it is one of the course's checks."""
    return _CHECK.findall(cell.source) if is_check(cell) else []


def _lost_marks(*, lost: bool) -> Iterator[Remark]:
    if lost:
        yield Remark(
            "flagged",
            "its cells have neither nbgrader's metadata nor ids (old versions of VS Code drop them): "
            "matched by their text and order; check that each answer is in the right place",
        )


def _doubled(found: Match) -> Iterator[Remark]:
    """Cells that pose as a check."""
    for cell in filter(is_check, found.released):
        sources = [one.source for one in found.handed if one.mark == mark(cell)]
        if len(sources) > 1 and not all(same(source, cell.source) for source in sources):
            what = f"{len(sources)} cells are marked as {mark(cell)}: the course's own is run"
            yield Remark("flagged", what)


def _changed(found: Match) -> Iterator[Remark]:
    code = [
        (n, cell)
        for n, cell in enumerate(found.released)
        if cell.cell_type == "code" and not is_solution(cell)
    ]
    missing = [cell for n, cell in code if n not in found.partner]
    changed = [
        c for n, c in code if n in found.partner and not same(c.source, found.handed[found.partner[n]].source)
    ]
    checks = [mark(cell) for cell in changed if is_check(cell)]
    others = [str(cell.id) for cell in changed if not is_check(cell)]
    if checks:
        yield Remark("flagged", f"checks were edited, the course's own are run: {_listed(checks)}")
    if others:
        yield Remark("restored", f"cells of the course were edited, its own are run: {_listed(others)}")
    if missing:
        names = [str(cell.id) for cell in missing]
        yield Remark("restored", f"cells of the course were missing, its own are run: {_listed(names)}")


def _added(found: Match) -> Iterator[Remark]:
    known = {mark(cell) for cell in found.released} - {""}
    added = [n for n in found.left() if found.handed[n].mark not in known]
    if added:
        count = f"{len(added)} cells" if len(added) > 1 else "a cell"
        yield Remark(
            "note", f"{count} added to those of the course: not run, answers belong in their own cells"
        )


def _reaching(found: Match, made: Answers) -> Iterator[Remark]:
    for place, source in sorted(made.sources.items()):
        cell = found.released[place]
        given = reach.beyond(cell.source)
        if more := [one for one in reach.beyond(source) if one not in given]:
            yield Remark("flagged", f"{cell.id} uses what no exercise needs: {_listed(more)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
