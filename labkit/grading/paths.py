"""What a check's cell reads off an object before it hands it over: `start=slow.total`.

A number that the student's process read off its copy is its own word. So the object is handed over whole, and
the grader reads the same off its original. Refuses to follow anything but attributes of a name.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from labkit.notebooks.steps import check_of, is_check


def paths(released: Any) -> dict[str, dict[str, tuple[str, ...]]]:
    """For each check, the arguments that are read off an object: `start=slow.total` is `("total",)`."""
    sources = [cell.source for cell in released.cells if cell.cell_type == "code"]
    calls = [node for source in sources for node in ast.walk(ast.parse(source)) if is_check(node)]
    return {
        check_of(call): {str(word.arg): path for word in _words(call) if (path := _path(word.value))}
        for call in calls
    }


def handing_over(source: str) -> str:
    """A check's cell that hands over objects whole: what is read off them, the grader reads off its own."""
    tree = ast.parse(source)
    words = [word for node in ast.walk(tree) if is_check(node) for word in _words(node) if _path(word.value)]
    for word in words:
        word.value = _root(word.value)
    return ast.unparse(tree) if words else source


def along(path: Sequence[str], value: Any) -> Any:
    """What stands at the end of a path of attributes."""
    for name in path:
        value = getattr(value, name)
    return value


def _words(call: ast.AST) -> list[ast.keyword]:
    return call.keywords if isinstance(call, ast.Call) else []


def _path(value: ast.expr) -> tuple[str, ...]:
    """Names after a plain name; empty for anything else."""
    names: list[str] = []
    while isinstance(value, ast.Attribute):
        names.insert(0, value.attr)
        value = value.value
    return tuple(names) if isinstance(value, ast.Name) else ()


def _root(value: ast.expr) -> ast.expr:
    while isinstance(value, ast.Attribute):
        value = value.value
    return value
