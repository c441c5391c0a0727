"""The learner's edition of one notebook: stubs instead of solutions, folded hints, nbgrader's marks.

A cell that answers and checks becomes two: the answer is the learner's to write (`solution`), the check is
locked and worth a point (`grade`). A check's cell ends with its result, 1 or 0: nbgrader
takes that number for the points, and gives full marks if there is none. Refuses a check that is not on a line
of its own.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import nbformat

from labkit import checks
from labkit.errors import BadInput
from labkit.notebooks.answers import BEGIN, without_solutions
from labkit.notebooks.steps import check_of, is_check
from labkit_grading.release import words

SCHEMA = 3  # of nbgrader's metadata: https://nbgrader.readthedocs.io, "Creating and grading assignments"
SOLVED, UNSOLVED = 'ANSWERS = "solutions"', 'ANSWERS = "exercises"'
STUB = "# Your code goes here."  # for a cell that was nothing but a solution
FILES = "{ANSWERS}"  # in a path: the cell applies the learner's own file


@dataclass
class Piece:
    """A cell of the edition: one answer, one check, or neither. `hints` are shown above it."""

    cell: Any
    check: str = ""
    hints: tuple[str, ...] = ()

    @property
    def exercise(self) -> bool:
        """Whether the learner writes something, in this cell or in the file that it applies."""
        return self.cell.cell_type == "code" and (BEGIN in self.cell.source or FILES in self.cell.source)


def edition(notebook: Any) -> Any:
    """A notebook for learners, made from one with solutions, which is left unchanged."""
    names = Counter[str]()
    found = pieces(notebook)
    cells = [made for piece in found for made in _cells(piece, names)]
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = words.for_learners(cell.source)
    exercises = list(dict.fromkeys(check for piece in found for check in piece.hints))
    if exercises:
        source = words.comparing(exercises)
        cells.append(nbformat.v4.new_markdown_cell(source, id=f"{exercises[0][:2]}-compare"))
    return nbformat.v4.new_notebook(metadata=notebook.metadata, cells=cells)


def pieces(notebook: Any) -> list[Piece]:
    """The cells of a notebook with solutions, with each answer and each check separated."""
    found = [piece for cell in notebook.cells for piece in _split(cell)]
    _hint(found)
    return found


def _split(cell: Any) -> Iterator[Piece]:
    if cell.cell_type != "code":
        yield Piece(cell.copy())
        return
    lines = cell.source.splitlines()
    found = [s for s in ast.parse(cell.source).body if isinstance(s, ast.Expr) and is_check(s.value)]
    _refuse_hidden(cell, found)
    bounds = [0, *(line for s in found for line in (s.lineno - 1, s.end_lineno or s.lineno)), len(lines)]
    names = ["", *(word for s in found for word in (check_of(s.value), ""))]
    before = ""
    for name, (first, last) in zip(names, pairwise(bounds), strict=True):
        if source := "\n".join(lines[first:last]).strip("\n"):
            place = _id(cell, name) if name or not before else f"{_id(cell, before)}-then"
            yield Piece(nbformat.v4.new_code_cell(source, id=place, metadata=cell.metadata), name)
        before = name or before


def _refuse_hidden(cell: Any, found: Sequence[ast.Expr]) -> None:
    if sum(map(is_check, ast.walk(ast.parse(cell.source)))) > len(found):
        raise BadInput(
            f"Cell {cell.id} calls a check inside another statement.",
            fix="Put lab.check(…) at the beginning of its own line.",
        )


def _id(cell: Any, name: str) -> str:
    return f"{cell.id}-{_slug(name)}" if name else str(cell.id)


def _slug(check: str) -> str:
    return check.replace(".", "-")


def _hint(pieces: Sequence[Piece]) -> None:
    """Each check's hint goes to the last exercise before it; code after the check closes the exercise."""
    exercise: Piece | None = None
    for piece in pieces:
        if piece.exercise:
            exercise = piece
        elif piece.check and exercise:
            exercise.hints += (piece.check,)
        elif piece.cell.cell_type == "code" and exercise and exercise.hints:
            exercise = None


def _cells(piece: Piece, names: Counter[str]) -> Iterator[Any]:
    cell = piece.cell
    if piece.hints:
        yield nbformat.v4.new_markdown_cell(folded(piece.hints), id=f"{cell.id}-hint")
    if cell.cell_type == "code":
        answer = BEGIN in cell.source
        cell.source = _source(piece)
        if answer or piece.check:
            name = _slug(piece.check) if piece.check else f"answer-{_slug(next(iter(piece.hints), cell.id))}"
            names[name] += 1
            cell.metadata = nbformat.from_dict(
                {"nbgrader": _marks(name, names[name], check=bool(piece.check))}
            )
    yield cell


def folded(names: Sequence[str]) -> str:
    """The hints of some checks, each under a line that unfolds on a click."""
    return "\n\n".join(
        f"<details><summary>Hint for <code>{name}</code></summary>\n\n{checks.get(name).hint}\n\n</details>"
        for name in names
    )


def _source(piece: Piece) -> str:
    source = without_solutions(piece.cell.source).replace(SOLVED, UNSOLVED).strip("\n") or STUB
    return f"{source.removesuffix(';')}.points" if piece.check else source


def _marks(name: str, count: int, *, check: bool) -> dict[str, Any]:
    marks = {
        "cell_type": "code",
        "grade": check,
        "grade_id": name if count == 1 else f"{name}-{count}",
        "locked": check,
        "schema_version": SCHEMA,
        "solution": not check,
        "task": False,
    }
    return {**marks, "points": 1} if check else marks
