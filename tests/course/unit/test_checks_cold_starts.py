"""Notebook 07's checks: each passes on what is right, and catches a mutant of it."""

from labkit import checks
from labkit.evidence import Timeline
from tests.course.examples.cold_starts import (
    FAST,
    LONGER,
    MEASURED,
    MUTANTS,
    PASSING,
    SLOW,
    STARTS,
    TOO_EARLY,
    pods,
    probed,
)
from tests.course.unit.mutants import CheckTests


class TestChecks(CheckTests):
    passing, mutants, early = PASSING, MUTANTS, TOO_EARLY


def test_what_was_not_measured_is_no_wrong_answer() -> None:
    empty = Timeline(15, "test")
    assert checks.get("07.overshoot").run({"slow": empty, "fast": empty}).inconclusive
    assert checks.get("07.overshoot").run({"slow": FAST, "fast": FAST}).inconclusive
    assert checks.get("07.cures").run({"starts": STARTS | {"local weights": LONGER}}).inconclusive
    assert checks.get("07.earlier").run({"late": SLOW, "early": SLOW}).inconclusive
    assert checks.get("07.patience").run({"answer": 24, "start": 0.0, "period": 5}).inconclusive
    assert checks.get("07.piled-up").run({"answer": 36, **MEASURED, "start": None}).inconclusive


def test_the_hint_speaks_of_what_is_wrong() -> None:
    all_that_come = checks.get("07.piled-up").run({"answer": 180, **MEASURED})
    assert "all that come" in all_that_come.hint
    probes = [
        checks.get("07.mended").run({"deployment": probed(n), "pods": pods(0), "start": 120.0})
        for n in (9, 600)
    ]
    assert probes[0].hint != probes[1].hint
