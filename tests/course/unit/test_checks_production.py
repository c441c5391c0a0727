"""Notebook 10's checks: each passes on what is right, and catches a mutant of it."""

from dataclasses import replace

import pytest

from course.capstone import Terms, score
from labkit import checks
from labkit.errors import BadInput
from labkit.evidence import Series, Timeline
from tests.course.examples.production import BILL, GRID, MUTANTS, PASSING, TOO_EARLY, recorded, requests
from tests.course.unit.mutants import CheckTests


class TestChecks(CheckTests):
    passing, mutants, early = PASSING, MUTANTS, TOO_EARLY


def test_a_busy_machine_is_no_wrong_manifest() -> None:
    late = checks.get("10.capstone").run({"run": recorded(), "load": requests(50, slow=50, lag=9)})
    assert late.state == "inconclusive"
    kept = checks.get("10.capstone").run({"run": recorded(), "load": requests(lag=1.5)})
    assert kept.passed, kept


def test_what_was_not_recorded_is_no_wrong_answer() -> None:
    assert checks.get("10.to-zero").run({"timeline": Timeline(15, "test")}).inconclusive
    assert checks.get("10.energy").run({"answer": 1, "watts": Series("power", "W")}).inconclusive
    assert checks.get("10.cost").run(BILL | {"answer": 1, "run": Timeline(15, "test")}).inconclusive
    assert checks.get("10.carbon").run(GRID | {"answer": 1, "watts": Series("power", "W")}).inconclusive


def test_the_score_counts_from_the_first_request_and_names_each_broken_term() -> None:
    found = score(recorded(3, peak=9), requests(80, slow=10, failed=10), Terms())
    assert found.gpu_seconds == pytest.approx(3 * 1200 + 6 * 30)
    assert len(list(found.broken())) == 4
    assert "not met" in repr(found)
    assert score(recorded(), requests(), Terms()).met


def test_a_promise_of_pace_is_part_of_the_score() -> None:
    slow = requests()
    rows = tuple(replace(row, itl=0.3) for row in slow.rows)
    assert score(recorded(), replace(slow, rows=rows), Terms()).attainment == 0


def test_only_recordings_are_scored() -> None:
    with pytest.raises(BadInput, match="not recorded"):
        score(replace(recorded(), began=0.0), requests(), Terms())
