"""Notebook 11's checks: each passes on what is right, and catches a mutant of it."""

from tests.course.examples.keda import MUTANTS, PASSING, TOO_EARLY
from tests.course.unit.mutants import CheckTests


class TestChecks(CheckTests):
    passing, mutants, early = PASSING, MUTANTS, TOO_EARLY
