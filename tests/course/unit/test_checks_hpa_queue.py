"""Notebook 05's checks: each passes on what is right, and catches a mutant of it."""

from collections.abc import Callable

import pytest

from labkit import checks
from labkit.load.results import LoadResult
from tests.course.examples.hpa_queue import MUTANTS, PASSING, TOO_EARLY, load, right
from tests.course.unit.mutants import CheckTests


class TestChecks(CheckTests):
    passing, mutants, early = PASSING, MUTANTS, TOO_EARLY


def test_a_function_that_changes_its_input_does_not_change_the_next_case() -> None:
    def clears(queues: list[float]) -> int:
        total = sum(queues)
        queues.clear()
        return right([total])

    answer: Callable[[list[float]], int] = clears
    assert checks.get("05.desired-by-hand").run({"desired": answer}).passed


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (load("ok", "reset", lag=9), "failed"),  # a failure is one, whatever the generator did
        (load("ok", "abandoned"), "inconclusive"),
        (load("ok", lag=9), "passed"),
        (load("ok", "not_sent"), "inconclusive"),
        (load("ok", ended=""), "inconclusive"),
    ],
)
def test_a_run_without_failures(result: LoadResult, state: str) -> None:
    assert checks.get("05.no-failures").run({"load": result}).state == state
