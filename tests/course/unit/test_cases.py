"""Cases that are drawn where functions are graded: right for honest ways, wrong for known mistakes."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from course.checks import hpa_queue
from course.hidden.cases import RULES, TWICE, draw
from labkit import checks
from labkit.checks.tried import Tried, tried
from labkit.notebooks.answers import BEGIN
from labkit.notebooks.strip import read
from tests.course.examples import right, wrong

ROOT = Path(__file__).parents[3]
SEEDS = range(200)


def held(value: float) -> float:
    return max(2, min(10, value))


def mean(queues: list[int]) -> float:
    return sum(queues) / len(queues)


def tolerant(queues: list[int]) -> float:
    ratio = mean(queues) / 5
    return held(len(queues) if abs(ratio - 1) <= 0.1 else math.ceil(len(queues) * ratio))


HONEST: list[tuple[str, Callable[..., Any]]] = [
    ("03.target", lambda goal, rate: max(math.floor(goal * rate - 1), 0)),
    ("03.target", lambda goal, rate: max(0, int(goal * rate) - 1)),
    ("04.desired-by-hand", lambda n, u, t=80: held(math.ceil(n * (u / t)))),
    ("04.desired-by-hand", lambda n, u, t=80: held(math.ceil(n * (u / 100) / (t / 100)))),
    ("05.desired-by-hand", lambda q: held(math.ceil(len(q) * mean(q) / 5))),
    ("05.desired-by-hand", lambda q: held(-(-sum(q) // 5))),
    ("05.desired-by-hand", tolerant),
    ("06.frontier", lambda points: [p for p in points if not any(beats(o, p) for o in points)]),
]


def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] <= other[0] and one[1] >= other[1]


def verdict(check: str, function: Callable[..., Any], seed: int) -> Any:
    [(name, cases)] = draw(check, seed).items()
    return checks.get(check).run({name: tried(function, cases)})


@pytest.mark.parametrize(("check", "function"), HONEST)
def test_every_honest_way_is_right_for_every_seed(check: str, function: Callable[..., Any]) -> None:
    for seed in SEEDS:
        assert verdict(check, function, seed).passed, (seed, verdict(check, function, seed).observed)


def functions(given: Callable[[str], list[Any]]) -> list[tuple[str, Callable[..., Any]]]:
    """The functions among examples for checks."""
    found = [
        (name, one) for check in RULES for name, evidence in given(check[:2]) for one in evidence.values()
    ]
    return [(name, one) for name, one in found if name in RULES and callable(one)]


RULED = [("05.desired-by-hand", rule) for rule, _ in hpa_queue.MISTAKES]


@pytest.mark.parametrize(("check", "function"), functions(right))
def test_the_courses_own_answer_is_right(check: str, function: Callable[..., Any]) -> None:
    assert all(verdict(check, function, seed).passed for seed in SEEDS)


@pytest.mark.parametrize(("check", "function"), [*functions(wrong), *RULED])
def test_every_known_mistake_is_wrong_for_every_seed(check: str, function: Callable[..., Any]) -> None:
    assert not [seed for seed in SEEDS if verdict(check, function, seed).passed]


@pytest.mark.parametrize("check", RULES)
def test_a_function_that_knows_what_ships_with_the_edition_is_wrong(check: str) -> None:
    [(name, shipped)] = checks.get(check).cases.items()
    known = {repr(given): wanted for given, wanted in shipped}
    other = shipped[0][1]

    def tabulated(*given: Any) -> Any:
        return known.get(repr(given), other)

    assert checks.get(check).run({name: tabulated}).passed
    assert not [seed for seed in SEEDS if verdict(check, tabulated, seed).passed]


@pytest.mark.parametrize("check", RULES)
def test_edges_are_always_there_and_order_and_number_tell_nothing(check: str) -> None:
    drawn = [draw(check, seed) for seed in SEEDS]
    [edges] = [one[0] for one in RULES[check].values()]
    for cases in (one for found in drawn for one in found.values()):
        given = [repr(arguments) for arguments, _ in cases]
        assert {repr(edge) for edge in edges} <= set(given)
        assert len(given) - len(set(given)) >= TWICE
    assert len({repr(one) for one in drawn}) == len(drawn)
    assert draw(check, 5) == draw(check, 5)


@pytest.mark.parametrize("check", RULES)
def test_what_ships_agrees_with_the_rule(check: str) -> None:
    [(name, (_, _, rule))] = RULES[check].items()
    for given, wanted in checks.get(check).cases[name]:
        assert rule(*given) == wanted


def test_every_function_that_an_exercise_asks_for_has_cases() -> None:
    named = {(check, name) for check, rules in RULES.items() for name in rules}
    assert named == {(one.id, name) for one in checks.CHECKS.values() for name in one.cases}
    sources = [
        cell.source
        for path in ROOT.glob("notebooks/*.ipynb")
        for cell in read(path).cells
        if BEGIN in cell.source
    ]
    defined = [source for source in sources if source.lstrip().startswith(("def ", "import math\n\n\ndef "))]
    assert len(defined) == len(RULES)


def test_a_judge_takes_only_a_table() -> None:
    assert isinstance(tried(len, []), Tried)
    for check in RULES:
        assert not checks.get(check).run(dict.fromkeys(checks.get(check).cases, 5)).passed
