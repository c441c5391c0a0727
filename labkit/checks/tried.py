"""A learner's function, as far as it was called: a check judges the table, when the function can be gone.

In a learner's own lab the cases are the check's own. Where it is graded, others are drawn, outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Case = tuple[tuple[Any, ...], Any]
"""Arguments, and the result that is right for them."""


@dataclass(frozen=True)
class Call:
    """One call: its arguments, what the function returned (or raised, in words), and what is right."""

    given: tuple[Any, ...]
    got: Any
    wanted: Any


@dataclass(frozen=True)
class Tried:
    """A function's calls, in their order."""

    calls: tuple[Call, ...]

    @property
    def cases(self) -> str:
        """How many there were, in words."""
        return f"right for {len(self.calls)} of {len(self.calls)} cases"


def tried(function: Callable[..., Any], cases: Iterable[Case]) -> Tried:
    """Call a learner's function, each time with arguments of its own."""
    return Tried(tuple(Call(given, called(function, *map(_own, given)), wanted) for given, wanted in cases))


def called(function: Callable[..., Any], *given: Any) -> Any:
    """What a learner's function returns or, if it raises, the error in words."""
    try:
        return function(*given)
    except Exception as error:  # noqa: BLE001 - someone else's code: whatever it raises is its answer
        return f"{type(error).__name__}: {error}"


def _own(argument: Any) -> Any:
    return list(argument) if isinstance(argument, list) else argument
