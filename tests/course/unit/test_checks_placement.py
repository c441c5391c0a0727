"""Notebook 09's checks: each passes on what is right, and catches a mutant of it."""

from labkit import checks
from labkit.evidence import Timeline
from labkit.evidence.pace import Pace
from tests.course.examples.placement import (
    ALL,
    HONOR,
    MUTANTS,
    PASSING,
    TOO_EARLY,
    on,
    placed,
    recorded,
    stranded,
)
from tests.course.unit.mutants import CheckTests


class TestChecks(CheckTests):
    passing, mutants, early = PASSING, MUTANTS, TOO_EARLY


def test_what_nobody_saw_is_no_wrong_answer() -> None:
    assert checks.get("09.survivors").run({"timeline": Timeline(15, "test"), "answering": []}).inconclusive
    assert checks.get("09.noticed").run({"answer": 50, "timeline": recorded((0, 6), (900, 6))}).inconclusive
    assert checks.get("09.domains").run({"answer": 6, "counted": 3, "pods": on(2, 2, 2)}).inconclusive
    assert checks.get("09.stranded").run(stranded(pods=on(2))).inconclusive
    assert checks.get("09.lost-node").run(placed(HONOR, on(2, 2, 2), ALL)).inconclusive
    assert checks.get("09.rate").run({"answer": 1, "pace": Pace((), (), ())}).inconclusive
    assert checks.get("09.bottleneck").run({"answer": "x", "pace": Pace((), (), ())}).inconclusive
