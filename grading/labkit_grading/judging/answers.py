"""Where each answer of a check is given: its names, and the solution cell that binds each of them.

    steps, delay = …                     cell 05-42 hands over `steps` and `delay` when it has run
    lab.check("05.steps", answer=steps)  judges what 05-42 handed over, whatever `steps` is by now

The answer that counts is what its name holds at the end of its own cell: nothing later changes it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.notebooks.steps import check_of, is_check
from labkit_grading.judging.sources import Source, assigned, sources
from labkit_grading.submissions.restore import is_solution


@dataclass(frozen=True)
class Answer:
    """One argument of a check: the names that it consists of, each with its cell; several make a tuple."""

    check: str
    key: str
    names: tuple[tuple[str, str], ...]
    several: bool = False


def answers(released: Any) -> list[Answer]:
    """Every answer that the checks of a released notebook judge."""
    found, bound = sources(released), dict[str, str]()
    made: list[Answer] = []
    for cell in released.cells:
        if cell.cell_type != "code":
            continue
        if is_solution(cell):
            bound |= dict.fromkeys(assigned(cell.source), str(cell.id))
        for call in _checks(cell.source):
            made += _answers(call, found[check_of(call)], bound)
    return made


def _checks(source: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and is_check(node):
            yield node


def _answers(call: ast.Call, given: Mapping[str, Source], bound: Mapping[str, str]) -> Iterator[Answer]:
    for word in call.keywords:
        if given[str(word.arg)] is Source.ANSWER:
            several = isinstance(word.value, ast.Tuple)
            parts = word.value.elts if isinstance(word.value, ast.Tuple) else [word.value]
            names = [part.id for part in parts if isinstance(part, ast.Name)]
            places = tuple((name, bound.get(name, "")) for name in names)
            yield Answer(check_of(call), str(word.arg), places, several)
