"""What a solution cell uses that no exercise needs: the system, labkit's internals, its own checks.

No points depend on it: the sandbox and the grader's own recordings are the protection. It only shows a person
where to look, and does not find anyone who hides what they do.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

HARMLESS = frozenset(
    {
        "collections",
        "dataclasses",
        "datetime",
        "fractions",
        "functools",
        "itertools",
        "json",
        "labkit",
        "math",
    }
    | {"matplotlib", "numpy", "operator", "pandas", "random", "re", "statistics", "time", "typing", "yaml"}
)
"""Modules that an answer can reasonably use."""
LIBRARY = frozenset({"labkit", "labkit.load"})
SYSTEM = frozenset(
    {"__import__", "breakpoint", "compile", "delattr", "eval", "exec", "exit", "get_ipython", "globals"}
    | {"input", "open", "quit", "setattr", "vars"}
)
OURS = frozenset({"lab", "labkit", "localcluster"})
ORDINARY = frozenset({"__init__", "__name__", "__repr__", "__str__"})


def beyond(source: str) -> list[str]:
    """Sorted by name; empty for a cell that isn't Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return sorted({line.strip()[:20] for line in source.splitlines() if line.strip()[:1] in {"!", "%"}})
    return sorted({found for node in ast.walk(tree) for found in _of(node)})


def _of(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names if not _harmless(alias.name))
        case ast.ImportFrom(module=str(module)) if not _harmless(module):
            yield module
        case ast.Name(id=name) if name in SYSTEM:
            yield name
        case ast.Attribute(value=value, ctx=ast.Store() | ast.Del()) if _ours(value):
            yield f"{ast.unparse(node)[:60]} ="
        case ast.Attribute(value=ast.Name(id="lab"), attr="check"):
            yield "lab.check"
        case ast.Attribute(attr=name) | ast.FunctionDef(name=name) if _inner(name):
            yield name


def _harmless(module: str) -> bool:
    top = module.partition(".")[0]
    return top in HARMLESS and (top != "labkit" or module in LIBRARY)


def _ours(value: ast.AST) -> bool:
    return any(isinstance(node, ast.Name) and node.id in OURS for node in ast.walk(value))


def _inner(name: str) -> bool:
    return name.startswith("_") and name.strip("_") != "" and name not in ORDINARY
