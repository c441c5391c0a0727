"""Calls of `lab.check` in the source of a cell. A computed name is not found."""

from __future__ import annotations

import ast


def is_check(node: ast.AST) -> bool:
    """Whether this is `lab.check("NN.name", …)`."""
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "check"
    return called and bool(check_of(node))


def check_of(call: ast.AST) -> str:
    """The name of the check in a call; empty if it isn't a literal."""
    first = call.args[0] if isinstance(call, ast.Call) and call.args else None
    return str(first.value) if isinstance(first, ast.Constant) else ""
