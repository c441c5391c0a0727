"""Notebook 03's checks: each passes on what is right, and catches a mutant of it."""

from typing import Any

import pytest

from labkit import checks
from tests.course.examples.load import LEVEL, MUTANTS, PASSING, SWEEP, run
from tests.course.unit.mutants import CheckTests


class TestChecks(CheckTests):
    passing, mutants = PASSING, MUTANTS


@pytest.mark.parametrize(
    ("check", "evidence"),
    [
        ("03.two-loops", {"closed": LEVEL, "open_": run(lambda _: 1, lag=9)}),  # a starved generator
        ("03.no-bound", {"answer": 9, "run": LEVEL, "seconds": 1500}),
        ("03.knee", {"answer": 0.6, "points": SWEEP[:3]}),  # nothing past the knee
    ],
)
def test_a_run_that_shows_nothing_is_inconclusive(check: str, evidence: dict[str, Any]) -> None:
    assert checks.get(check).run(evidence).state == "inconclusive"
