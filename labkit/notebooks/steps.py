"""Where a notebook checks its learner: each call of `lab.check`, what it is handed, and what went before.

Read from the source, so nothing runs. Refuses to guess: a check whose name is computed is not found.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CHECK = "check"
CHANGES = frozenset(
    {"apply", "delete", "kill", "kubectl", "lift", "load", "patch", "plant", "reset", "scale"}
)
"""Calls after which the cluster is no longer what the check before them saw."""


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
        changes += sum(_verb(node) in CHANGES for node in ast.walk(statement))
        for call in filter(is_check, ast.walk(statement)):
            yield Step(check_of(call), index, changes, _given(call, assigned))


def is_check(node: ast.AST) -> bool:
    """Whether this is `lab.check("NN.name", …)`."""
    return _verb(node) == CHECK and bool(check_of(node))


def check_of(call: ast.AST) -> str:
    """The name of the check that a call names; empty where it names none in so many words."""
    first = call.args[0] if isinstance(call, ast.Call) and call.args else None
    return str(first.value) if isinstance(first, ast.Constant) else ""


def _verb(node: ast.AST) -> str:
    return node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""


def _given(call: ast.AST, assigned: Counter[str]) -> dict[str, str]:
    keywords = call.keywords if isinstance(call, ast.Call) else []
    return {
        str(word.arg): f"{ast.unparse(word.value)}@{sum(assigned[n] for n in _names(word.value, ast.Load))}"
        for word in keywords
    }


def _names(node: ast.AST, context: type[ast.expr_context]) -> list[str]:
    return [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, context)]
