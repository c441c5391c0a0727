"""An answer as plain data: what it is, whatever its class says of itself; no method of a student's runs."""

import collections
import enum
import fractions
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from labkit_grading.judging.codec import Claims
from labkit_grading.kernel.handing import asked, asking, handed
from labkit_grading.kernel.plain import ITEMS, NO_ANSWER, plain

RAN: list[str] = []


class Loud:
    """Each of its methods leaves a trace."""

    def __getattribute__(self, name: str) -> Any:
        RAN.append(name)
        return object.__getattribute__(self, name)


def trap(name: str) -> Any:
    def run(*_: Any) -> Any:
        RAN.append(name)
        raise AssertionError(name)

    return run


TRAPS = (
    "__eq__", "__hash__", "__iter__", "__len__", "__getitem__", "__str__", "__repr__", "__int__", "__float__",
    "__index__", "__pos__", "__abs__", "__bool__", "__contains__", "__add__", "__sub__", "__round__", "items",
    "keys", "item", "tolist", "encode",
)  # fmt: skip


def trapped(base: type) -> type:
    """A subclass of which every method is a trap."""
    names = {name: trap(name) for name in TRAPS}
    return type(f"Mine{base.__name__}", (base,), {**names, "__class__": property(trap("__class__"))})


class Few(enum.IntEnum):
    """A number by its name."""

    ONE = 1


def copied(value: Any) -> Any:
    return Claims().decode(plain(value))


@pytest.mark.parametrize(
    "value",
    [5, -3, 2.5, float("inf"), "a word", b"bytes", [1, "b"], (1, (2,)), {1, 2}, {"a": [1]}, True, None, ...],
)
def test_plain_data_stays_what_it_is(value: Any) -> None:
    assert copied(value) == value
    assert type(copied(value)) is type(value)


@pytest.mark.parametrize(
    ("base", "value"),
    [
        (int, 5),
        (float, 2.5),
        (str, "ten"),
        (bytes, b"ten"),
        (list, [1, 2]),
        (tuple, (1, 2)),
        (dict, {"a": 1}),
        (set, {1}),
        (np.float64, 2.5),
        (collections.deque, [1]),
        (Decimal, 2.5),
        (fractions.Fraction, 0.5),
    ],
)
def test_a_class_of_a_students_own_is_read_without_its_methods(base: type, value: Any) -> None:
    given = {Decimal: ("2.5",), fractions.Fraction: (1, 2)}.get(base, (value,))
    kind: Any = base
    made = kind.__new__(trapped(base), *given)
    if base in {list, set, dict, collections.deque}:
        kind.__init__(made, value)
    RAN.clear()
    assert copied(made) == value
    assert RAN == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(4), 4),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.str_("ten"), "ten"),
        (range(3), [0, 1, 2]),
        ({"a": 1}.values(), [1]),
        (Few.ONE, 1),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
    ],
)
def test_what_honest_cells_compute_is_a_number_or_a_list(value: Any, expected: Any) -> None:
    assert copied(value) == expected


def endless() -> Iterator[int]:
    RAN.append("generator")
    yield 10


def nested() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


class Meta(type):
    """A class that lies about its bases."""

    def __getattribute__(cls, name: str) -> Any:
        RAN.append(name)
        return (int, object)

    __hash__ = trap("hash of the class")
    __eq__ = trap("equality of the class")
    __instancecheck__ = __subclasscheck__ = trap("isinstance")


@pytest.mark.parametrize(
    "value",
    [
        Loud(),
        endless(),
        nested(),
        lambda: 10,
        Meta("Posing", (), {"__class__": int})(),
        np.array([Loud()]),
        np.datetime64("2026-12-01"),
        list(range(ITEMS + 1)),
        "x" * 10**6,
        10**10_000,
        {frozenset({1}): Decimal("sNaN")},
    ],
    ids=[
        *("loud", "generator", "within-itself", "function", "posing", "array-of-objects", "date"),
        *("too-many", "too-long", "too-large", "unreadable"),
    ],
)
def test_everything_else_is_no_answer_and_runs_nothing(value: Any) -> None:
    RAN.clear()
    assert str(plain(value)).startswith(NO_ANSWER)
    assert RAN == []


def test_a_cell_of_the_graders_is_told_from_any_other() -> None:
    assert asked(asking({"steps": []})) == {"steps": []}
    assert asked("steps = 5") is None
    assert asked("# answers are handed over here: no JSON") is None


def test_from_then_on_the_names_hold_plain_data() -> None:
    namespace: dict[str, Any] = {"steps": trapped(list)(), "share": Loud(), "gone": 1}
    list.append(namespace["steps"], 4)
    found = handed(namespace, {"steps": [], "share": [], "missing": []})
    assert found["steps"] == {"value": [4]}
    assert found["share"]["value"].startswith(NO_ANSWER)
    assert "missing" not in found
    assert type(namespace["steps"]) is list
    assert namespace["share"] == found["share"]["value"]
    assert namespace["gone"] == 1


def test_a_function_is_called_with_data_of_its_own_and_its_errors_are_answers() -> None:
    def double(queues: list[int]) -> int:
        queues.append(1)
        if len(queues) > 3:
            raise ValueError("too many")
        return 2 * sum(queues)

    calls = [[[1, 2]], [[1, 2]], [[1, 2, 3]]]
    found = handed({"double": double}, {"double": [{"$": "tuple", "items": one} for one in calls]})
    assert found == {"double": {"results": [8, 8, "ValueError: too many"]}}
