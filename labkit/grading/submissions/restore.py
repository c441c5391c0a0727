"""Puts the course's own cells back: of a handed-in notebook, only what its solution cells hold is taken.

Checks, parameters, imports, loads and recordings come from the released notebook, as nbgrader's
OverwriteCells does it: https://nbgrader.readthedocs.io/en/stable/user_guide/autograding.html
Refuses to add cells: a student's own cell beside ours has no place in the order of the course.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import nbformat

from labkit.grading.submissions import reach
from labkit.grading.submissions.cells import Cell
from labkit.grading.submissions.remark import Remark


@dataclass(frozen=True)
class Restored:
    """The notebook to run, how many solution cells were taken, and what was put back."""

    notebook: Any
    answers: int
    remarks: tuple[Remark, ...]


def restore(released: Any, handed: Sequence[Cell], *, name: str) -> Restored:
    """The released notebook with the student's solution cells in it."""
    own = {id(cell): _partner(cell, handed) for cell in released.cells if cell.cell_type == "code"}
    notebook = nbformat.v4.new_notebook(metadata=released.metadata, cells=[])
    answers = 0
    for cell in released.cells:
        copy = nbformat.from_dict(cell)
        mine = own.get(id(cell))
        if mine is not None and is_solution(cell):
            copy.source = mine.source
            answers += mine.source.strip() != cell.source.strip()
        notebook.cells.append(copy)
    remarks = [*_doubled(handed), *_changed(released, own), *_added(own, handed), *_reaching(released, own)]
    return Restored(notebook, answers, tuple(Remark(r.kind, r.what, name) for r in remarks))


def is_solution(cell: Any) -> bool:
    """Whether the student writes this cell."""
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def is_check(cell: Any) -> bool:
    """Whether the course judges in this cell."""
    return bool(cell.metadata.get("nbgrader", {}).get("grade"))


def _partner(cell: Any, handed: Sequence[Cell]) -> Cell | None:
    """The student's cell of the same mark; of the same id where an editor threw the marks away."""
    mark = cell.metadata.get("nbgrader", {}).get("grade_id", "")
    marked = next((one for one in handed if mark and one.mark == mark), None)
    return marked or next((one for one in handed if one.id == cell.id), None)


def _doubled(handed: Sequence[Cell]) -> Iterator[Remark]:
    for mark, count in Counter(cell.mark for cell in handed if cell.mark).items():
        if count > 1:
            yield Remark("flagged", f"{count} cells call themselves {mark[:60]}: the first one counts")


def _changed(released: Any, own: dict[int, Cell | None]) -> Iterator[Remark]:
    code = [cell for cell in released.cells if cell.cell_type == "code"]
    missing = [cell for cell in code if own[id(cell)] is None]
    changed = [cell for cell in code if _differs(cell, own[id(cell)]) and not is_solution(cell)]
    checks = [str(cell.metadata.nbgrader.grade_id) for cell in changed if is_check(cell)]
    others = [str(cell.id) for cell in changed if not is_check(cell)]
    if checks:
        yield Remark("flagged", f"checks were edited, the course's own are run: {_listed(checks)}")
    if others:
        yield Remark("restored", f"cells of the course were edited, its own are run: {_listed(others)}")
    if missing:
        names = [str(cell.id) for cell in missing]
        yield Remark("restored", f"cells of the course were gone, its own are run: {_listed(names)}")


def _differs(cell: Any, mine: Cell | None) -> bool:
    return mine is not None and mine.source.strip() != cell.source.strip()


def _added(own: dict[int, Cell | None], handed: Sequence[Cell]) -> Iterator[Remark]:
    known = {id(cell) for cell in own.values()}
    marks = {cell.mark for cell in own.values() if cell and cell.mark}
    added = [c for c in handed if id(c) not in known and c.mark not in marks and c.source.strip()]
    if added:
        count = f"{len(added)} cells" if len(added) > 1 else "a cell"
        yield Remark("note", f"{count} beside those of the course: not run, answers go into their own cells")


def _reaching(released: Any, own: dict[int, Cell | None]) -> Iterator[Remark]:
    for cell in filter(is_solution, released.cells):
        mine = own.get(id(cell))
        given = reach.beyond(cell.source)
        if found := [one for one in reach.beyond(mine.source) if one not in given] if mine else []:
            yield Remark("flagged", f"{cell.id} reaches for what no exercise needs: {_listed(found)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
