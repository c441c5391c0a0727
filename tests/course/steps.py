"""What a notebook asks of its learner, step by step: each call of `lab.check`, and what went before it.

Read from the source, so nothing runs. Refuses to guess: a check whose name is computed is not found.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.notebooks.steps import check_of, is_check
from labkit_grading.verbs.table import VERBS


@dataclass(frozen=True)
class Step:
    """One call of `lab.check`."""

    check: str
    cell: int
    """The cell's index in the notebook."""
    changes: int
    """How many calls before it change the cluster: two checks with one number see the same objects."""
    given: Mapping[str, str]
    """Each answer or recording: the expression, and how often its names had been assigned (`run@2`)."""


def steps(notebook: Any) -> list[Step]:
    """All calls of `lab.check`, from top to bottom."""
    return list(_walk(notebook))


def _walk(notebook: Any) -> Iterator[Step]:
    changes, assigned = 0, Counter[str]()
    code = [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    for index, statement in ((i, line) for i, cell in code for line in ast.parse(cell.source).body):
        assigned.update(_names(statement, ast.Store))
        changes += sum(map(_changes, ast.walk(statement)))
        for call in filter(is_check, ast.walk(statement)):
            yield Step(check_of(call), index, changes, _given(call, assigned))


def _changes(node: ast.AST) -> bool:
    """Whether this calls a verb after which the cluster is not what the check before it saw."""
    name = ast.unparse(node.func).removeprefix("lab.") if isinstance(node, ast.Call) else ""
    return name in VERBS and VERBS[name].changes


def _given(call: ast.AST, assigned: Counter[str]) -> dict[str, str]:
    keywords = call.keywords if isinstance(call, ast.Call) else []
    return {
        str(word.arg): f"{ast.unparse(word.value)}@{sum(assigned[n] for n in _names(word.value, ast.Load))}"
        for word in keywords
    }


def _names(node: ast.AST, context: type[ast.expr_context]) -> list[str]:
    return [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, context)]
