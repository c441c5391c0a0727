"""What a student's answers were at the end of their own cells: the grader's side.

`asks` says which cell of ours follows a solution cell; `take` reads the kernel's reply to it; `given` is what
a check judges. Cases of functions are drawn here, from the student's seed; what is right never leaves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from course.hidden.cases import draw
from labkit.checks.tried import Call, Case, Tried
from labkit.errors import BadInput
from labkit_grading.judging.answers import answers
from labkit_grading.judging.codec import Claims, encode
from labkit_grading.kernel.handing import REPLY, asking
from labkit_grading.kernel.plain import NO_ANSWER

LONGEST = 256 * 2**10  # characters of all that one cell hands over
Place = tuple[str, str]
"""A cell, and a name that it binds."""


class HandOver:
    """One notebook's answers, as they are handed over."""

    def __init__(self, released: Any, seed: int = 0) -> None:
        self.released = released
        self._answers = {(one.check, one.key): one for one in answers(released)}
        self._cases: dict[Place, tuple[Case, ...]] = {}
        self._wanted: dict[str, dict[str, list[Any]]] = {}
        self._held: dict[Place, Any] = {}
        for one in self._answers.values():
            cases = draw(one.check, seed).get(one.key, ())
            for name, cell in one.names:
                self._cases[cell, name] = cases
                self._wanted.setdefault(cell, {})[name] = [encode(given) for given, _ in cases]

    def asks(self, cell: str) -> str:
        """The text of the cell that asks for what a solution cell answers; empty if it answers nothing."""
        return asking(self._wanted[cell]) if cell in self._wanted else ""

    def take(self, cell: str, content: Mapping[str, Any]) -> None:
        """Keep what a cell handed over; what is not plain data is no answer."""
        found = content.get(REPLY)
        if not isinstance(found, Mapping) or _length(found) > LONGEST:
            return
        for name in self._wanted[cell]:
            if isinstance(found.get(name), Mapping):
                self._held[cell, name] = self._read((cell, name), found[name])

    def given(self, check: str, key: str) -> Any:
        """An answer; `...` if nothing was handed over, or one of its parts is missing."""
        one = self._answers[check, key]
        parts = [self._held.get((cell, name), ...) for name, cell in one.names]
        return tuple(parts) if one.several else parts[0]

    def same(self, check: str, key: str, data: Any) -> bool:
        """Whether a check was called with what was handed over, as far as that is data."""
        held = self.given(check, key)
        if isinstance(held, Tried) or held is ... or data is None:
            return True
        return _sorted(_claimed(data)) == _sorted(held)

    def _read(self, place: Place, said: Mapping[str, Any]) -> Any:
        if "results" not in said:
            return _claimed(said.get("value"))
        cases, results = self._cases[place], said["results"]
        got = list(map(_claimed, results)) if isinstance(results, list) else []
        if not cases or len(got) != len(cases):
            return NO_ANSWER
        pairs = zip(cases, got, strict=True)
        return Tried(tuple(Call(given, result, wanted) for (given, wanted), result in pairs))


def _length(data: Any) -> float:
    try:
        return len(json.dumps(data))
    except (ValueError, RecursionError):
        return float("inf")


def _claimed(data: Any) -> Any:
    """Plain data, and nothing else."""
    try:
        return Claims().decode(data)
    except (BadInput, TypeError, ValueError, LookupError, RecursionError):
        return NO_ANSWER


def _sorted(value: Any) -> str:
    """To compare two answers: `nan` is itself, and a set has no order."""
    if isinstance(value, set):
        return f"set{sorted(map(_sorted, value))}"
    if isinstance(value, dict):
        return f"dict{[(_sorted(key), _sorted(item)) for key, item in value.items()]}"
    return (
        f"{type(value).__name__}{list(map(_sorted, value))}"
        if isinstance(value, list | tuple)
        else repr(value)
    )
