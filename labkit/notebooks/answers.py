"""Removes solutions: they are between two marks, and are left out when the course goes to learners.

    replicas = ...                  # stays
    ### BEGIN SOLUTION
    replicas = [2, 4, 8, 10]        # is removed, with both marks
    ### END SOLUTION

Refuses marks that don't pair up: half a solution would be handed out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labkit.errors import BadInput

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def available(root: Path) -> str:
    """What a course's notebooks can be run with: only `exercises` if it has no solutions."""
    return "solutions" if any(root.glob("manifests/*/solutions")) else "exercises"


def without_solutions(source: str) -> str:
    """The source of a cell without its solutions; raises `BadInput` if marks don't pair up."""
    return without(source, begin=BEGIN, end=END)


def without(source: str, *, begin: str, end: str) -> str:
    """The text without two marker lines and everything between them."""
    kept: list[str] = []
    inside = False
    for line in source.splitlines():
        mark = line.strip()
        if mark in {begin, end}:
            if inside == (mark == begin):
                raise BadInput(f"{mark!r} has no partner.", fix=f"Each {begin} needs one {end} below it.")
            inside = mark == begin
        elif not inside:
            kept.append(line)
    if inside:
        raise BadInput(f"{begin!r} has no partner.", fix=f"Write {end} below it.")
    return "\n".join(kept)


def for_learners(notebook: Any) -> Any:
    """Take the solutions out of every code cell, in place."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = without_solutions(cell.source)
    return notebook
