"""Where each argument of a check comes from, as the released notebook shows.

    lab.check("05.steps", answer=steps, timeline=run)

`steps` is assigned in a solution cell, so it is the student's answer; `run` is not, so it has to be something
that the grader recorded itself. Refuses an answer if the judge wants a recording, or if one of the course's
cells assigns the name, too.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from labkit import checks
from labkit.notebooks.steps import check_of, is_check
from labkit_grading.submissions.restore import is_solution


class Source(StrEnum):
    """Where an argument comes from."""

    READ = "read"
    ANSWER = "answer"
    COURSE = "course"
    RECORDED = "recorded"


def sources(released: Any) -> dict[str, dict[str, Source]]:
    """For each check of a released notebook, the source of each argument."""
    cells = _code(released)
    answers = {name for cell in cells if is_solution(cell) for name in assigned(cell.source)}
    others = {name for cell in cells if not is_solution(cell) for name in assigned(cell.source)}
    fixed = _literals(released)
    return {check_of(call): _of(call, answers - others, fixed) for call in _calls(released)}


def constants(released: Any) -> dict[str, dict[str, Any]]:
    """For each check, the arguments that are constants in the course's own cells, directly or by name."""
    fixed = _literals(released)
    return {
        check_of(call): {
            str(word.arg): _constant(word.value, fixed)
            for word in call.keywords
            if _is_constant(word.value, fixed)
        }
        for call in _calls(released)
    }


def queries(released: Any) -> frozenset[str]:
    """The texts in released cells: only PromQL among these was asked by the course."""
    nodes = (node for cell in _code(released) for node in ast.walk(ast.parse(cell.source)))
    return frozenset(n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str))


def _code(released: Any) -> list[Any]:
    return [cell for cell in released.cells if cell.cell_type == "code"]


def _calls(released: Any) -> Iterator[ast.Call]:
    for cell in _code(released):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Call) and is_check(node):
                yield node


def _of(call: ast.Call, answers: set[str], fixed: Mapping[str, Any]) -> dict[str, Source]:
    check = checks.get(check_of(call))
    given = {
        str(word.arg): _source(word.value, answers if str(word.arg) in check.answers else set(), fixed)
        for word in call.keywords
    }
    return given | dict.fromkeys(check.reads, Source.READ)


def _source(value: ast.expr, answers: set[str], fixed: Mapping[str, Any]) -> Source:
    parts = value.elts if isinstance(value, ast.Tuple) else [value]
    if all(isinstance(part, ast.Name) and part.id in answers for part in parts):
        return Source.ANSWER
    return Source.COURSE if _is_constant(value, fixed) else Source.RECORDED


def _is_constant(value: ast.expr, fixed: Mapping[str, Any]) -> bool:
    return isinstance(value, ast.Constant) or (isinstance(value, ast.Name) and value.id in fixed)


def _constant(value: ast.expr, fixed: Mapping[str, Any]) -> Any:
    return value.value if isinstance(value, ast.Constant) else fixed[ast.unparse(value)]


def _literals(released: Any) -> dict[str, Any]:
    """Names to which exactly one released cell, and nothing else, assigns a number or text."""
    times = Counter(name for cell in _code(released) for name in assigned(cell.source))
    found: dict[str, Any] = {}
    for cell in _code(released):
        for line in ast.parse(cell.source).body:
            if isinstance(line, ast.Assign) and len(line.targets) == 1:
                found |= _pairs(line.targets[0], line.value)
    return {name: value for name, value in found.items() if times[name] == 1}


def _pairs(target: ast.expr, value: ast.expr) -> dict[str, Any]:
    """`pue, grid = 1.2, 381` by name."""
    targets, values = ([target], [value])
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        targets, values = (target.elts, value.elts)
    return {
        one.id: other.value
        for one, other in zip(targets, values, strict=False)
        if isinstance(one, ast.Name) and isinstance(other, ast.Constant) and other.value is not ...
    }


def assigned(source: str) -> Iterator[str]:
    """The names that are assigned; those inside comprehensions are local to them."""
    nodes = list(ast.walk(ast.parse(source)))
    loops = [node.target for node in nodes if isinstance(node, ast.comprehension)]
    inner = {id(name) for target in loops for name in ast.walk(target)}
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in inner:
            yield node.id
        elif isinstance(node, ast.FunctionDef):
            yield node.name


def recorded(found: Mapping[str, Source]) -> list[str]:
    """The arguments that the grader must have recorded itself."""
    return [name for name, source in found.items() if source is Source.RECORDED]
