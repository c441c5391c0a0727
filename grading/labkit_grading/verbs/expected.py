"""What the course's own cells ask the lab for, and what they hand to each check: known before a student runs.

The released cells are run here with a lab in which nothing happens: each verb gives an `Unknown` that
remembers its call. What a solution cell leaves to the student is unknown, too. So the size of a load, the
moments of a recording and all else that the course decides are known as it writes them, whatever a student's
process makes of their names. Runs no cell of a student's.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import FunctionType, SimpleNamespace
from typing import Any, cast

import nbformat

import labkit
from labkit_grading.judging.sources import assigned
from labkit_grading.kernel.inside import Grader, RemoteLab
from labkit_grading.submissions.restore import is_solution
from labkit_grading.verbs.likeness import PLAIN, calls_of, differs
from labkit_grading.verbs.provenance import Calls, Made
from labkit_grading.verbs.unknown import Unknown

FREE: Mapping[str, str] = {
    "05.hops hops": "put together from figures that cells of the course read off in the student's process",
}
"""Recordings that are not known here, with the reason; a test lists that these are all."""
FREE_WORDS: Mapping[str, str] = {
    "url": "the address of a server: its pod's name is the lab's",
}
"""Words of a load that are not known here, with the reason."""
UNPACKED = "_unpacked_here"


class Tracer:
    """Stands where a student's process has its connection to the grader."""

    def __init__(self) -> None:
        self.cell = ""
        self.noted = Calls()
        self.checks: dict[str, Mapping[str, Any]] = {}

    def call(self, _: int, do: str, args: tuple[Any, ...], words: Mapping[str, Any]) -> Any:
        """Note what the lab is asked for."""
        if do == "check":
            self.checks[str(args[0])] = {key: _copied(value) for key, value in words.items()}
            return Unknown()
        return self.asks(do, None, args, words)

    def asks(self, verb: str, on: Made | None, args: tuple[Any, ...], words: Mapping[str, Any]) -> Unknown:
        """Note a call of a verb."""
        return Unknown(self.noted.take(verb, self.cell, on, args, words), self.asks)


class AskedLab(RemoteLab):
    """The lab as a student's process has it, except that nothing happens."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__(cast("Grader", tracer), 0)
        self.__dict__ |= dict.fromkeys(("attempt", "copy", "predict", "refused"), Unknown())

    def check(self, name: str, **given: Any) -> Any:
        """Whatever it is handed counts, be it callable or not."""
        return self._grader.call(0, "check", (name,), given)


@dataclass(frozen=True)
class Expected:
    """One notebook: the calls of its cells, what they hand to each check, and the cells in their order."""

    calls: Calls
    checks: Mapping[str, Mapping[str, Any]]
    order: tuple[str, ...]
    answers: frozenset[str]
    """The solution cells, where a student may do more."""

    def unlike(self, check: str, key: str, given: Any, real: Calls) -> str:
        """Why a recording is no evidence for a check; empty if the course's cells make it, and its loads."""
        wanted = self.checks.get(check, {}).get(key, Unknown())
        return differs(wanted, given) or self._loads(wanted, real) or self._steps(wanted, given, real)

    def _loads(self, wanted: Any, real: Calls) -> str:
        """Whether the loads that were to be started before it, while it was made, are those that were."""
        started = real.loads()
        for one in calls_of(wanted):
            began = self.order.index((one.on or one).cell)
            asked = self.calls.loads(self.calls.made.index(one))
            for cell in self.order[began : self.order.index(one.cell) + 1]:
                here = asked.get(cell, [])
                if differs(here, started.get(cell, [])[: len(here)]):
                    return f"the load of cell {cell} was not the one that the course's cell asks for"
        return ""

    def _steps(self, wanted: Any, given: Any, real: Calls) -> str:
        """Whether the cells that it comes from did before it what the course's do: no wait is left out."""
        done = real.steps(calls_of(given))
        asked = self.calls.steps(one for one in calls_of(wanted) if one.verb not in PLAIN)
        for cell, steps in asked.items():
            if cell not in self.answers and cell in done and differs(steps, done[cell]):
                return f"cell {cell} did something else before it than the course's cell does"
        return ""


def expected(released: Any, parameters: Mapping[str, Any]) -> Expected:
    """Run a released notebook's own cells, with the grader's parameters."""
    return _expected(nbformat.writes(released), tuple(sorted(parameters.items())))


@lru_cache(maxsize=32)
def _expected(text: str, parameters: tuple[tuple[str, Any], ...]) -> Expected:
    cells = [one for one in nbformat.reads(text, as_version=4).cells if one.cell_type == "code"]
    tracer = Tracer()
    names: dict[str, Any] = {"print": Unknown(), UNPACKED: _unpacked}
    for cell in cells:
        tracer.cell = str(cell.id)
        for line in ast.parse(cell.source).body:
            _run(line, names, tracer)
        if is_solution(cell):
            names |= {name: Unknown() for name in assigned(cell.source) if _is_answer(names.get(name))}
        if "parameters" in cell.metadata.get("tags", ()):
            names |= dict(parameters)
    answers = frozenset(str(cell.id) for cell in cells if is_solution(cell))
    return Expected(tracer.noted, tracer.checks, tuple(str(cell.id) for cell in cells), answers)


def _run(line: ast.stmt, names: dict[str, Any], tracer: Tracer) -> None:
    """Run a statement; if it needs more than can be known, what it assigns is unknown."""
    module = ast.fix_missing_locations(ast.Module([_Unpacking().visit(line)], []))
    try:
        exec(compile(module, tracer.cell, "exec"), names)  # noqa: S102 - the course's own text
    except Exception:  # noqa: BLE001 - it needs a figure of the lab's, such as the number of its pods
        names |= {name: Unknown() for name in assigned(ast.unparse(line))}
    if names.get("labkit") is labkit:
        names["labkit"] = SimpleNamespace(connect=lambda **_: AskedLab(tracer))


class _Unpacking(ast.NodeTransformer):
    """`a, b = value` becomes `a, b = _unpacked_here(value, 2)`."""

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        """One assignment; names with a star take what is left, and need no number."""
        [target, *_] = node.targets
        if isinstance(target, ast.Tuple | ast.List):
            number = ast.Constant(len(target.elts))
            node.value = ast.Call(ast.Name(UNPACKED, ast.Load()), [node.value, number], [])
        return node


def _unpacked(value: Any, number: int) -> Any:
    return [Unknown(value.made)] * number if isinstance(value, Unknown) else value


def _is_answer(value: Any) -> bool:
    """Whether a solution cell leaves a name to the student."""
    return value is ... or isinstance(value, FunctionType)


def _copied(value: Any) -> Any:
    """As it is now, whatever later cells add."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return type(value)(map(_copied, value)) if type(value) in {list, tuple} else value
