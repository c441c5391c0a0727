"""What only a lab knows, in a run of the course's cells without one: takes part in anything that a cell does.

What comes of it is unknown, too. It remembers the call that gave it, or gave the whole that it is a part of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from labkit_grading.verbs.provenance import UNKNOWN, Made
from labkit_grading.verbs.table import VERBS

SEVERAL = 16
"""How many things there are where only the lab knows."""
Ask = Callable[[str, Made | None, tuple[Any, ...], Mapping[str, Any]], "Unknown"]


class Unknown:
    """A value; `asks` notes a call of one of its verbs, if it has any."""

    def __init__(self, made: Made | None = None, asks: Ask | None = None) -> None:
        self.made, self._asks = made, asks

    @property
    def whole(self) -> bool:
        """Whether it is what a call gave, and not only a part of it."""
        return self._asks is not None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made, asks = self.made, self._asks
        verb = f"{made.verb}.{name}" if made else ""
        if asks is None or verb not in VERBS:
            return Unknown(made)
        if VERBS[verb].value:
            return asks(verb, made, (), {})
        return lambda *args, **words: asks(verb, made, args, words)

    def __getitem__(self, key: object) -> Unknown:
        return Unknown(self.made)

    def __iter__(self) -> Iterator[Unknown]:
        return iter([Unknown(self.made)] * SEVERAL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __str__(self) -> str:
        return UNKNOWN

    def __format__(self, how: str) -> str:
        return UNKNOWN

    def _any(self, *_args: Any, **_words: Any) -> Any:
        return Unknown()

    __call__ = __round__ = __abs__ = __neg__ = _any
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _any
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = _any
    __or__ = __ror__ = __and__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _any
    __hash__ = object.__hash__
