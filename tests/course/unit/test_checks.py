"""What holds for every check, and what a verdict is."""

import re
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from labkit import checks
from labkit.checks.check import PARTLY, UNANSWERED, Check, Finding, number, numbers
from labkit.errors import BadInput
from labkit.evidence import Verdict
from localcluster.api.objects import dig
from tests.course.unit.mutants import CheckTests


@pytest.mark.parametrize("check", checks.CHECKS.values(), ids=lambda c: c.id)
def test_check_is_named_for_its_notebook_and_explains_itself(check: Check) -> None:
    assert re.fullmatch(r"\d\d\.[a-z0-9-]+", check.id)
    assert check.expected
    assert check.hint


def test_every_check_of_the_course_has_a_mutant() -> None:
    for module in Path(__file__).parent.glob("test_checks_*.py"):
        import_module(f"tests.course.unit.{module.stem}")
    caught = {name for tests in CheckTests.__subclasses__() for name, _ in tests.mutants}
    assert set(checks.CHECKS) == caught


def test_what_a_check_judges_follows_from_what_it_is_handed() -> None:
    kinds = {name: checks.get(name).kind for name in ("05.hpa", "05.scale-out", "05.hops", "05.steps")}
    assert list(kinds.values()) == ["state", "behaviour", "behaviour", "understanding"]


def said(answer: Any) -> Finding:
    return Finding(passed=True, observed=str(answer))


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({"answers": ("anwser",)}, "`answers` names anwser"),
        ({"reads": {"pod": "pod/web"}}, "`reads` names pod"),
        ({"may_be_empty": ("sent",)}, "`may_be_empty` names sent"),
        ({"reads": {"answer": "pods"}, "answers": ("answer",)}, "`answers` names answer"),
        ({"answers": ("answer",), "may_be_empty": ("answer",)}, "`may_be_empty` names answer"),
    ],
)
def test_a_name_that_the_judge_does_not_have_is_refused(named: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told) as refused:
        Check("00.x", "5", "think", said, **named)
    assert "answer" in refused.value.cause


@pytest.mark.parametrize("check", checks.CHECKS.values(), ids=lambda c: c.id)
def test_an_answer_may_be_anything_and_a_recording_has_a_type(check: Check) -> None:
    parameters = signature(check.judge, eval_str=True).parameters
    types = {name: parameters[name].annotation for name in (*check.recordings, *check.answers)}
    for figure in check.figures.values():
        assert Any not in [one.annotation for one in signature(figure.by, eval_str=True).parameters.values()]
    assert {name for name, kind in types.items() if kind is Any} == set(check.answers)


def test_what_is_no_recording_is_named() -> None:
    verdict = checks.get("05.steps").run({"answer": [2], "timeline": [2, 4]})
    assert verdict.state == "inconclusive"
    assert verdict.observed == "timeline is list, not labkit.evidence.timeline.Timeline"


def test_unknown_check_names_its_neighbours() -> None:
    with pytest.raises(BadInput, match=r"05\.scale-out"):
        checks.get("05.scaleout")


def test_wrong_call_is_inconclusive_and_says_how_to_call() -> None:
    verdict = checks.get("05.steps").run({"anwser": [2]})
    assert verdict.state == "inconclusive"
    assert "answer=…" in verdict.hint


@pytest.mark.parametrize(
    ("answer", "seen"), [(..., UNANSWERED), ((..., ...), UNANSWERED), ([3, ...], PARTLY), ((..., 0), PARTLY)]
)
def test_an_unanswered_question_is_not_judged(answer: object, seen: str) -> None:
    verdict = Check("00.x", "5", "think", said, answers=("answer",)).run({"answer": answer})
    assert verdict.state == "failed"
    assert verdict.observed == seen


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
