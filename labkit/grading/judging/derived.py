"""What cells of the course work out from recordings, worked out again from the grader's own originals.

    longest = max(row.e2e for run in runs.values() for row in run.rows)        a cell of the course
    lab.check("02.grace", answer=shortest, longest=longest, pre_stop=15)

`longest` comes out of the student's process: their word. But the expression is the course's, and `runs` are
the grader's, by their numbers. So a check's cell hands over the names below it too, and the grader runs the
very same expression on what it knows itself. Refuses names that are given twice or changed later, functions
of cells, and all verbs of the lab that do something: what can't be worked out stays the student's word.
"""

from __future__ import annotations

import ast
import builtins
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import nbformat

from labkit.errors import BadInput, LabError
from labkit.grading.judging.codec import WORD
from labkit.notebooks.steps import check_of, is_check

LAB = "lab"
CHANGES = frozenset(
    {"add", "append", "clear", "extend", "insert", "pop", "remove", "setdefault", "sort", "update"}
)
"""Methods after which a name is no longer what its cell made it."""
NOT_WORKED_OUT = (ArithmeticError, AttributeError, LabError, LookupError, NameError, TypeError, ValueError)
"""What an expression of the course raises where what it is given is not what its cells would give it."""

Known = Callable[[str], Any]
"""The grader's own object of a name; raises `BadInput` where the student's process made it."""


@dataclass(frozen=True)
class Cells:
    """What the cells of a released notebook say: expressions by name, imports, and what checks are handed."""

    definitions: Mapping[str, ast.expr] = field(default_factory=dict)
    imports: tuple[ast.stmt, ...] = ()
    handed: Mapping[str, Mapping[str, ast.expr]] = field(default_factory=dict)

    @classmethod
    def of(cls, released: Any) -> Cells:
        """Read them."""
        tree = [
            line
            for cell in released.cells
            if cell.cell_type == "code"
            for line in ast.parse(cell.source).body
        ]
        nodes = [node for line in tree for node in ast.walk(line)]
        times = Counter(stored(nodes))
        changed = set(_changed(nodes))
        given = {name: value for line in tree for name, value in _pairs(line)}
        lasting = {n: v for n, v in given.items() if times[n] == 1 and n not in changed}
        calls = [node for node in nodes if isinstance(node, ast.Call) and is_check(node)]
        return cls(
            lasting,
            tuple(line for line in tree if isinstance(line, ast.Import | ast.ImportFrom)),
            {check_of(call): {str(w.arg): w.value for w in call.keywords} for call in calls},
        )

    def below(self, check: str) -> list[str]:
        """The names that a check's arguments are made of, and those that these are made of."""
        found: list[str] = []
        left = [name for value in self.handed.get(check, {}).values() for name in _free(value)]
        while left:
            name = left.pop(0)
            if name not in found and name != LAB:
                found.append(name)
                left += _free(self.definitions[name]) if name in self.definitions else []
        return [name for name in found if not hasattr(builtins, name) and name not in _imported(self.imports)]

    def work_out(self, check: str, argument: str, known: Known, lab: Any) -> Any:
        """An argument of a check, from what is `known`; raises `BadInput` where that does not suffice."""
        scope: dict[str, Any] = {}
        for line in self.imports:  # of the course's own cells
            exec(compile(ast.Module([line], []), "<course>", "exec"), scope)  # noqa: S102
        return self._value(self.handed[check][argument], _Scope(scope, known, lab))

    def _value(self, expression: ast.expr, scope: _Scope) -> Any:
        for name in _free(expression):
            if name not in scope.names and not hasattr(builtins, name):
                scope.names[name] = self._named(name, scope)
        code = compile(ast.Expression(expression), "<course>", "eval")
        return eval(code, scope.names)  # noqa: S307 - the text is the course's, and so is each object

    def _named(self, name: str, scope: _Scope) -> Any:
        if name == LAB:
            return scope.lab
        try:
            return scope.known(name)
        except BadInput:
            if name not in self.definitions:
                raise
            return self._value(self.definitions[name], scope)


@dataclass
class _Scope:
    names: dict[str, Any]
    known: Known
    lab: Any


def to_run(notebook: Any, released: Any) -> Any:
    """A copy of a student's notebook in which each check hands over the names below its arguments."""
    cells, copy = Cells.of(released), nbformat.from_dict(notebook)
    for cell in copy.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.source = handing_over(cell.source, cells)
    return copy


def handing_over(source: str, cells: Cells) -> str:
    """A check's cell that hands over the names below its arguments, where they are there."""
    tree = ast.parse(source)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and is_check(node)]
    for call, names in [(call, names) for call in calls if (names := cells.below(check_of(call)))]:
        pairs = ", ".join(f"{name!r}: globals().get({name!r})" for name in names)
        call.keywords.append(ast.keyword(WORD, ast.parse(f"{{{pairs}}}", mode="eval").body))
        source = ast.unparse(tree)
    return source


def stored(nodes: list[ast.AST]) -> Iterator[str]:
    """The names that are given a value; those of comprehensions are their own."""
    loops = [node.target for node in nodes if isinstance(node, ast.comprehension)]
    inner = {id(name) for target in loops for name in ast.walk(target)}
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in inner:
            yield node.id
        elif isinstance(node, ast.FunctionDef):
            yield node.name


def _changed(nodes: list[ast.AST]) -> Iterator[str]:
    """Names of which a part is given a value later, or of which a method is called that changes them."""
    for node in nodes:
        part = isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load)
        if part or (isinstance(node, ast.Attribute) and node.attr in CHANGES):
            assert isinstance(node, ast.Subscript | ast.Attribute)
            yield from (name.id for name in ast.walk(node.value) if isinstance(name, ast.Name))


def _pairs(line: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """`name = value`, and `a, b = one, other`; not `name = ...`, which is an answer's stub."""
    if not isinstance(line, ast.Assign) or len(line.targets) != 1:
        return
    target, value = line.targets[0], line.value
    pairs = [(target, value)]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = list(zip(target.elts, value.elts, strict=False))
    for one, other in pairs:
        stub = isinstance(other, ast.Constant) and other.value is ...
        if isinstance(one, ast.Name) and not stub:
            yield one.id, other


def _free(expression: ast.expr) -> list[str]:
    """The names that an expression reads and does not make itself."""
    nodes = list(ast.walk(expression))
    own = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    read = [n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    return [name for name in dict.fromkeys(read) if name not in own]


def _imported(imports: tuple[ast.stmt, ...]) -> set[str]:
    lines = [line for line in imports if isinstance(line, ast.Import | ast.ImportFrom)]
    return {(alias.asname or alias.name).partition(".")[0] for line in lines for alias in line.names}
