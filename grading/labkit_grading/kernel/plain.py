"""A student's values as plain data, in the form of `judging.codec`, without running any code of theirs.

What a value is, is decided by its type's own order of bases (never by `isinstance`, which asks the value),
and it is read with the methods of Python's and numpy's own types (never with the value's own, which a
subclass can replace). Refuses everything else in words: a generator, a function, an object of their class.
"""

from __future__ import annotations

import base64
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar

KIND = "$"  # as in judging.codec, which is not to be changed from here
DEPTH, ITEMS, TEXT = 20, 10_000, 48 * 2**10
"""How deep, how many, and how many characters in all an answer can be."""
HEAP_TYPE = 1 << 9  # CPython's flag of a class that was made by a `class` statement: numpy's own are not
NO_ANSWER = "no answer"

_mro, _flags = type.__dict__["__mro__"].__get__, type.__dict__["__flags__"].__get__
_name, _module = type.__dict__["__name__"].__get__, type.__dict__["__module__"].__get__
_numerator, _denominator = (vars(Fraction)[name].__get__ for name in ("_numerator", "_denominator"))


class _NotPlainError(Exception):
    """What can't be an answer, in words."""


class _Room:
    """How much of an answer's allowed size is left."""

    def __init__(self) -> None:
        self.items, self.text = ITEMS, TEXT

    def take(self, items: int = 1, text: int = 0) -> None:
        self.items -= items
        self.text -= text
        if self.items < 0 or self.text < 0:
            raise _NotPlainError("it is too long")


Reader = Callable[[Any, _Room, int], Any]
_Of = TypeVar("_Of")


def plain(value: Any) -> Any:
    """The value, ready for JSON; a text that says so if it can't be an answer."""
    try:
        return _plain(value, _Room(), 0)
    except _NotPlainError as error:
        return f"{NO_ANSWER}: {error}"
    except Exception as error:  # noqa: BLE001 - a dict that changes meanwhile, a Decimal that is no number
        return f"{NO_ANSWER}: {type(error).__name__}"


def _plain(value: Any, room: _Room, depth: int) -> Any:
    room.take()
    if depth > DEPTH:
        raise _NotPlainError("it is nested too deeply")
    if value is None or value is True or value is False:
        return value
    if value is ...:
        return {KIND: "..."}
    for base in _mro(type(value)):
        if reader := _own(base, READERS) or _numpys(base):
            return reader(value, room, depth)
    raise _NotPlainError(f"{_name(type(value))[:40]} is not a possible answer")


def _own(base: type, table: Iterable[tuple[type, _Of]]) -> _Of | None:
    """By identity: a class can have a hash of its own, and be equal to anything."""
    return next((found for kind, found in table if kind is base), None)


def _numpys(base: type) -> Reader | None:
    """How to read one of numpy's own types: its scalars and arrays, as numbers and lists of them."""
    if _flags(base) & HEAP_TYPE or _module(base) != "numpy":
        return None
    reads = {"generic": "item", "ndarray": "tolist"}.get(_name(base))
    if reads is None:
        return None
    inner = type.__dict__["__dict__"].__get__(base)[reads]
    return lambda value, room, depth: _inner(inner(value), room, depth)


def _inner(value: Any, room: _Room, depth: int) -> Any:
    """What numpy made of its own; some of its scalars stay what they are."""
    if not _own(type(value), READERS) and value is not True and value is not False:
        raise _NotPlainError(f"{_name(type(value))[:40]} is not a possible answer")
    return _plain(value, room, depth + 1)


def _int(value: int, room: _Room, _depth: int) -> Any:
    digits = int.bit_length(value) // 3
    if digits > 4000:  # Python's own limit to what it writes out is 4,300
        raise _NotPlainError("it is too long")
    room.take(text=digits)
    return int.__pos__(value)


def _float(value: float, room: _Room, _depth: int) -> Any:
    room.take(text=20)
    number = float.__pos__(value)
    return number if math.isfinite(number) else {KIND: "float", "value": float.__repr__(number)}


def _str(value: str, room: _Room, _depth: int) -> Any:
    room.take(text=str.__len__(value))
    return str.__str__(value).encode("utf-8", "replace").decode()


def _bytes(value: bytes, room: _Room, _depth: int) -> Any:
    room.take(text=2 * bytes.__len__(value))
    return {KIND: "bytes", "value": base64.b64encode(bytes.__getitem__(value, slice(None))).decode()}


def _fraction(value: Fraction, room: _Room, depth: int) -> Any:
    over, under = (_plain(read(value), room, depth + 1) for read in (_numerator, _denominator))
    if type(over) is not int or type(under) is not int or under == 0:
        raise _NotPlainError("it is no fraction of whole numbers")
    try:
        return over / under
    except OverflowError as error:
        raise _NotPlainError("it is too large") from error


def _list(value: Any, room: _Room, depth: int) -> Any:
    iterate = next(found for base in _mro(type(value)) if (found := _own(base, ITERATORS)))
    return [_plain(one, room, depth + 1) for one in iterate(value)]


def _tagged(kind: str) -> Reader:
    return lambda value, room, depth: {KIND: kind, "items": _list(value, room, depth)}


def _dict(value: Any, room: _Room, depth: int) -> Any:
    pairs = [
        [_plain(key, room, depth + 1), _plain(one, room, depth + 1)] for key, one in list(dict.items(value))
    ]
    return {KIND: "dict", "items": pairs}


KEYS, VALUES, PAIRS = (type(getattr(dict, name)({})) for name in ("keys", "values", "items"))
LISTED = (range, deque, KEYS, VALUES, PAIRS)
ITERATORS: tuple[tuple[type, Callable[[Any], Iterator[Any]]], ...] = tuple(
    (kind, vars(kind)["__iter__"]) for kind in (list, tuple, set, frozenset, *LISTED)
)
READERS: tuple[tuple[type, Reader], ...] = (
    (int, _int),
    (float, _float),
    (str, _str),
    (bytes, _bytes),
    (list, _list),
    (tuple, _tagged("tuple")),
    (set, _tagged("set")),
    (frozenset, _tagged("set")),
    (dict, _dict),
    (Fraction, _fraction),
    (Decimal, lambda value, room, depth: _float(Decimal.__float__(value), room, depth)),
    *((kind, _list) for kind in LISTED),
)
"""By a type of Python's own: how its values, and those of its subclasses, are read."""
