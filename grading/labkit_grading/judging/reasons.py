"""Why a check lost its point, said at that check: what went wrong first in the cells that it judges.

    lab     the grader's own words: the API server's answer, the line of a YAML file
    cell    what the student's cell raised, in the student's words

Refuses to guess: an error in a cell that belongs to no check is a remark, and explains nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from labkit.errors import LabError, Refused
from labkit_grading.submissions.remark import printable, quoted
from labkit_grading.submissions.restore import FILES, check_names, checks_after, is_check, is_solution

POLICY = re.compile(r"ValidatingAdmissionPolicy '[^']*' with binding '[^']*' denied request: ")
LONGEST = 400
"""Characters of the API server's words."""
MOST = 200
"""Errors of one notebook that are kept."""


@dataclass(frozen=True)
class Raised:
    """Something that went wrong while a cell ran."""

    cell: str
    what: str
    by: Literal["lab", "cell"] = "cell"


def of_server(what: str) -> str:
    """The API server's words without the names of its policies: the sentence is what teaches."""
    return printable(POLICY.sub("", what))


def of_lab(cell: str, error: LabError, seat: Path) -> Raised:
    """What the lab answered, with the names of files as the student knows them."""
    what = of_server(error.what.replace(f"{seat}/", ""))
    told = f"the API server refused: {what}" if isinstance(error, Refused) else what
    return Raised(cell, f"in cell {cell}: {told[:LONGEST]}", "lab")


def of_cell(cell: str, name: str, words: str) -> Raised:
    """What a cell raised, by the account of the student's own process."""
    return Raised(cell, f"cell {cell} raised {quoted(f'{name}: {words}')}")


def reasons(notebook: Any, raised: Sequence[Raised]) -> dict[str, str]:
    """For each check of a notebook: the first thing that went wrong in the cells that it judges."""
    cells = {str(cell.id): cell for cell in notebook.cells}
    stopped = {one.cell for one in raised if one.by == "cell"}
    found: dict[str, str] = {}
    for one in raised:
        cell = cells.get(one.cell)
        work = cell is not None and (is_solution(cell) or FILES in cell.source)
        if one.by == "cell" or one.cell in stopped or work:
            for name in _judging(notebook, one.cell):
                found.setdefault(name, one.what)
    return found


def retold(notebook: Any, raised: Sequence[Raised], names: Collection[str]) -> set[str]:
    """What cells raised that only checks of these names judge: it needs no line of its own."""
    return {one.what for one in raised if set(_judging(notebook, one.cell) or [""]) <= set(names)}


def _judging(notebook: Any, name: str) -> list[str]:
    """The checks that judge a cell, or that it calls."""
    for place, cell in enumerate(notebook.cells):
        if str(cell.id) == name:
            return check_names(cell) if is_check(cell) else checks_after(notebook, place)
    return []
