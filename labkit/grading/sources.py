"""Where each argument of a check comes from, as the released notebook gives it away.

    lab.check("05.steps", answer=steps, timeline=run)

`steps` is assigned in a solution cell, so it is the student's answer; `run` is not, so it has to be something
that the grader recorded itself. Refuses to take an answer where the judge
wants something recorded, or where a cell of the course writes the name too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from labkit import checks
from labkit.grading.restore import is_solution
from labkit.notebooks.steps import check_of, is_check


class Source(StrEnum):
    """Who says so."""

    READ = "read"
    ANSWER = "answer"
    COURSE = "course"
    RECORDED = "recorded"


def sources(released: Any) -> dict[str, dict[str, Source]]:
    """For each check of a released notebook, each of its arguments."""
    code = [cell for cell in released.cells if cell.cell_type == "code"]
    answers = {name for cell in code if is_solution(cell) for name in _assigned(cell.source)}
    others = {name for cell in code if not is_solution(cell) for name in _assigned(cell.source)}
    calls = (node for cell in code for node in ast.walk(ast.parse(cell.source)) if is_check(node))
    return {check_of(call): _of(call, answers - others) for call in calls}


def constants(released: Any) -> dict[str, dict[str, Any]]:
    """For each check, the arguments that stand in the course's own cell as they are."""
    code = [cell for cell in released.cells if cell.cell_type == "code"]
    calls = (node for cell in code for node in ast.walk(ast.parse(cell.source)) if is_check(node))
    return {check_of(call): dict(_constants(call)) for call in calls}


def _constants(call: ast.AST) -> Iterator[tuple[str, Any]]:
    assert isinstance(call, ast.Call)
    for word in call.keywords:
        if isinstance(word.value, ast.Constant):
            yield str(word.arg), word.value.value


def _of(call: ast.AST, answers: set[str]) -> dict[str, Source]:
    assert isinstance(call, ast.Call)
    check = checks.get(check_of(call))
    given = {
        str(word.arg): _source(word.value, answers if str(word.arg) in check.answers else set())
        for word in call.keywords
    }
    return given | dict.fromkeys(check.reads, Source.READ)


def _source(value: ast.expr, answers: set[str]) -> Source:
    if isinstance(value, ast.Constant):
        return Source.COURSE
    return Source.ANSWER if isinstance(value, ast.Name) and value.id in answers else Source.RECORDED


def _assigned(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef):
            yield node.name


def recorded(found: Mapping[str, Source]) -> list[str]:
    """The arguments that the grader has to have recorded."""
    return [name for name, source in found.items() if source is Source.RECORDED]
