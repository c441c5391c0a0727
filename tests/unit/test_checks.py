"""What holds for every check, and what a verdict is."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from labkit import checks
from labkit.checks.check import Check, Finding, dig, number, numbers
from labkit.errors import BadInput
from labkit.evidence import Bill, Series, Timeline, Verdict
from labkit.evidence.queueing import load_point
from labkit.evidence.states import States
from labkit.load.results import LoadResult
from labkit.load.rows import Row
from tests.unit.mutants import CheckTests

TIMELINES = ("timeline", "on_cpu", "on_queue")
BILL = Bill(100, 90, 1000.0, 10, 600)
RUNS = ("run", "closed", "open_", "small", "large", "cpu_load", "queue_load")


@pytest.mark.parametrize("check", checks.CHECKS.values(), ids=lambda c: c.id)
def test_check_is_named_for_its_notebook_and_explains_itself(check: Check) -> None:
    assert re.fullmatch(r"\d\d\.[a-z0-9-]+", check.id)
    assert check.expected
    assert check.hint


@pytest.mark.parametrize("check", checks.CHECKS.values(), ids=lambda c: c.id)
@pytest.mark.parametrize("answer", [..., None, "", "five", -1, [], {}, object()])
def test_no_answer_raises_or_passes(check: Check, answer: Any) -> None:
    names = check.judge.__annotations__.keys() - {"return"}
    made = {name: value for name, value in made_by_labkit().items() if name in names}
    asked = names - made.keys() - check.reads.keys()
    if not asked or "load" in asked or "plain" in asked:
        return  # recordings and load results come from labkit, not from the learner
    verdict = check.run({**dict.fromkeys(asked, answer), **made, **dict.fromkeys(check.reads)})
    assert not verdict.passed, verdict


def made_by_labkit() -> dict[str, Any]:
    """What checks get that is not the learner's, by the name of the parameter."""
    timeline = Timeline(15, "test", (Series("desired", "", ((0, 2), (20, 6))),))
    rows = tuple(Row(i, i, i, 3 * i + 9, "ok", first=2 * i) for i in range(60))
    run = LoadResult(Path("none"), {"clock": 15, "shape": {"seconds": 60}}, 0.0, rows, (), "done")
    figures = {"capacity": 0.6, "seconds": 1500, "users": 20, "think": 10, "cache": 1.0, "counted": 7}
    results = dict.fromkeys(RUNS, run)
    made = {"points": [load_point(run)], "states": States(15, {})}
    made |= {"bill": BILL, "bills": {"a": BILL}, "asked": {5: (1000.0, 0.9)}, "predicted": (1000.0, 0.9)}
    made |= {"shares": {"static": 0.7}}
    return figures | results | made | dict.fromkeys(TIMELINES, timeline)


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


def test_an_unanswered_question_is_not_judged() -> None:
    verdict = Check("00.x", "5", "think", lambda answer: Finding(passed=True, observed=str(answer))).run(
        {"answer": ...}
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
