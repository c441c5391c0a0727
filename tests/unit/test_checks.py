"""What holds for every check, and what a verdict is."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from labkit import checks
from labkit.checks.check import Check, Finding, dig, number, numbers
from labkit.errors import BadInput
from labkit.evidence import Verdict
from tests.unit.mutants import CheckTests


@pytest.mark.parametrize("check", checks.CHECKS.values(), ids=lambda c: c.id)
def test_check_is_named_for_its_notebook_and_explains_itself(check: Check) -> None:
    assert re.fullmatch(r"\d\d\.[a-z0-9-]+", check.id)
    assert check.expected
    assert check.hint


def test_every_check_of_the_course_has_a_mutant() -> None:
    for module in Path(__file__).parent.glob("test_checks_*.py"):
        import_module(f"tests.unit.{module.stem}")
    caught = {name for tests in CheckTests.__subclasses__() for name, _ in tests.mutants}
    assert set(checks.CHECKS) == caught


def test_what_a_check_judges_follows_from_what_it_is_handed() -> None:
    kinds = {name: checks.get(name).kind for name in ("05.hpa", "05.scale-out", "05.hops", "05.steps")}
    assert list(kinds.values()) == ["state", "behaviour", "understanding", "understanding"]


def test_unknown_check_names_its_neighbours() -> None:
    with pytest.raises(BadInput, match=r"05\.scale-out"):
        checks.get("05.scaleout")


def test_wrong_call_is_inconclusive_and_says_how_to_call() -> None:
    verdict = checks.get("05.steps").run({"anwser": [2]})
    assert verdict.state == "inconclusive"
    assert "answer=…" in verdict.hint


@pytest.mark.parametrize("answer", [..., (..., ...), [3, ...]])
def test_an_unanswered_question_is_not_judged(answer: object) -> None:
    verdict = Check("00.x", "5", "think", lambda answer: Finding(passed=True, observed=str(answer))).run(
        {"answer": answer}
    )
    assert verdict.state == "failed"
    assert "nothing yet" in verdict.observed


def test_a_verdict_survives_json() -> None:
    verdict = Verdict("00.x", passed=False, expected="a", observed="b", hint="c")
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_a_verdict_is_never_both_passed_and_inconclusive() -> None:
    with pytest.raises(ValueError, match="both"):
        Verdict("00.x", passed=True, expected="", observed="", inconclusive=True)


def test_reading_answers() -> None:
    assert number("5") == 5
    assert number(True) is None
    assert number("five") is None
    assert numbers([1, "2"]) == [1, 2]
    assert numbers("12") is None
    assert dig({"a": [{"b": 1}]}, "a.0.b") == 1
    assert dig({"a": []}, "a.0.b") is None
