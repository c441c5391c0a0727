"""In the student's kernel: what an answer's names hold at the end of its own cell, given away as plain data.

The grader asks with a cell of its own, whose text is no code: the kernel answers in its reply to it, so
nothing goes through names that a student could have given another meaning. From then on the names hold the
plain data as well: later cells of the course work with numbers and texts, not with a student's objects.
Functions are called here, with cases that the grader drew, and stay what they are.

Nothing depends on this code being left alone: whoever changes it hands in another answer, at the same moment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ipykernel.ipkernel import IPythonKernel

from labkit.errors import BadInput
from labkit_grading.judging.codec import Claims
from labkit_grading.kernel.plain import NO_ANSWER, plain

MARK = "# answers are handed over here: "
"""How the grader's cell begins; what is asked follows, as JSON."""
REPLY = "labkit_answers"
"""Where the answers stand in the kernel's reply."""
SAID = 300
"""Characters of an exception that are kept."""


def asking(names: Mapping[str, Any]) -> str:
    """The text of the grader's cell: by name, the arguments of each call (none for what is no function)."""
    return MARK + json.dumps(names)


def asked(code: str) -> dict[str, list[Any]] | None:
    """What a cell asks for; None if it is any other cell."""
    if not code.startswith(MARK):
        return None
    try:
        names = json.loads(code.removeprefix(MARK))
    except ValueError:
        return None
    return names if isinstance(names, dict) else None


def handing_over() -> type[IPythonKernel]:
    """The kernel's class."""
    return _Kernel


class _Kernel(IPythonKernel):
    async def do_execute(self, code: str, *args: Any, **words: Any) -> dict[str, Any]:
        names, shell = asked(code), self.shell
        if names is None or shell is None:
            done: dict[str, Any] = await super().do_execute(code, *args, **words)  # type: ignore[no-untyped-call]
            return done
        return {**_DONE, "execution_count": shell.execution_count, REPLY: handed(shell.user_ns, names)}


_DONE: Mapping[str, Any] = {"status": "ok", "payload": [], "user_expressions": {}}


def handed(namespace: dict[str, Any], names: Mapping[str, list[Any]]) -> dict[str, Any]:
    """What each name that is there holds: its `value`, or the `results` of a function's calls."""
    found: dict[str, Any] = {}
    for name, calls in names.items():
        if name not in namespace:
            continue
        value = namespace[name]
        if calls and callable(value):
            found[name] = {"results": [_result(value, given) for given in calls]}
        else:
            namespace[name], found[name] = _kept(plain(value))
    return found


def _kept(data: Any) -> tuple[Any, dict[str, Any]]:
    """What the name holds from now on, and what is handed over."""
    try:
        return Claims().decode(data), {"value": data}
    except (TypeError, ValueError, BadInput):  # a set in a set
        return NO_ANSWER, {"value": NO_ANSWER}


def _result(function: Any, given: Any) -> Any:
    """What one call gave, as plain data; what it raised, in words."""
    try:
        return plain(function(*Claims().decode(given)))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a student's function raises is its answer
        return plain(f"{type(error).__name__}: {_said(error)}"[:SAID])


def _said(error: BaseException) -> str:
    """What it says, without asking it: `__str__` can be a student's, and raise again."""
    first = next(iter(_args(error)), "")
    return first if type(first) is str else ""


_args = BaseException.__dict__["args"].__get__
