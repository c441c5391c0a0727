"""Notebook 00's checks: each passes on what is right, and catches a mutant of it."""

from labkit import checks
from labkit.evidence import Timeline
from tests.course.examples.start import MUTANTS, PASSING
from tests.course.unit.mutants import CheckTests


class TestChecks(CheckTests):
    passing, mutants = PASSING, MUTANTS


def test_no_figures_are_no_wrong_answer() -> None:
    assert checks.get("00.idle").run({"answer": 1, "used": 0.0, "free": 0.0}).inconclusive
    assert checks.get("00.game").run({"timeline": Timeline(15, "test")}).inconclusive
