"""The learner's copy of a notebook: what stands between the solution marks is gone, nothing else.

    replicas = ...                  # stays
    ### BEGIN SOLUTION
    replicas = [2, 4, 8, 10]        # goes, with both marks
    ### END SOLUTION

Refuses marks that don't pair up: half a solution would be handed out.
"""

from __future__ import annotations

from typing import Any

from labkit.errors import BadInput

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def without_solutions(source: str) -> str:
    """The source of a cell without its solutions; raises `BadInput` where marks don't pair up."""
    kept: list[str] = []
    inside = False
    for line in source.splitlines():
        mark = line.strip()
        if mark in {BEGIN, END}:
            if inside == (mark == BEGIN):
                raise BadInput(f"{mark!r} has no partner.", fix=f"Each {BEGIN} needs one {END} below it.")
            inside = mark == BEGIN
        elif not inside:
            kept.append(line)
    if inside:
        raise BadInput(f"{BEGIN!r} has no partner.", fix=f"Write {END} below it.")
    return "\n".join(kept)


def for_learners(notebook: Any) -> Any:
    """Take the solutions out of every code cell, in place."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = without_solutions(cell.source)
    return notebook
