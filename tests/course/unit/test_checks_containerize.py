"""Notebook 01's checks: each passes on what is right, and catches a mutant of it."""

from labkit import checks
from tests.course.examples.containerize import MUTANTS, PASSING, tries
from tests.course.unit.mutants import CheckTests


class TestChecks(CheckTests):
    passing, mutants = PASSING, MUTANTS


def test_too_few_tries_are_no_wrong_answer() -> None:
    assert checks.get("01.backoff").run({"answer": [10, 20, 40], "seen": tries(5, 15)}).inconclusive
