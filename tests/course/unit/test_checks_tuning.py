"""Notebook 06's checks: each passes on what is right, and catches a mutant of it."""

from dataclasses import replace
from typing import Any

import pytest

from labkit import checks
from labkit.evidence import Timeline
from tests.course.examples.tuning import (
    BILLS,
    CALM,
    HPA,
    MUTANTS,
    PASSING,
    PICKED,
    TOO_EARLY,
    bill,
    recording,
)
from tests.course.unit.mutants import CheckTests


class TestChecks(CheckTests):
    passing, mutants, early = PASSING, MUTANTS, TOO_EARLY


BUSY = ("requests left up to 3.0 lab s late",)


@pytest.mark.parametrize(
    ("check", "evidence", "state"),
    [
        (
            "06.order",
            {"answer": ["static", "CPU", "queue"], "bills": {**BILLS, "CPU": bill(300, 840, doubts=BUSY)}},
            "passed",
        ),
        (
            "06.order",
            {"answer": ["CPU", "static", "queue"], "bills": {**BILLS, "CPU": bill(300, 840, doubts=BUSY)}},
            "inconclusive",
        ),
        ("06.attainment", {"bill": bill(700, 2780, doubts=BUSY)}, "inconclusive"),
        ("06.attainment", {"bill": bill(900, 2780, doubts=BUSY)}, "passed"),
        ("06.cost", {"bill": bill(900, 4000, doubts=BUSY)}, "failed"),
        ("06.model", {"predicted": (2700, 0.4), "bill": replace(PICKED, doubts=BUSY)}, "inconclusive"),
        ("06.too-late", {"answer": 50, "timeline": recording([(0, 2)])}, "inconclusive"),
        ("06.flapping", {"answer": 1, "timeline": CALM}, "inconclusive"),
        ("06.curve", {"answer": [(0, 2)] * 3, "timeline": Timeline(15, "test")}, "inconclusive"),
        ("06.bounds", {"timeline": CALM, "hpa": None}, "inconclusive"),
        ("06.calm", {"timeline": Timeline(15, "test")}, "inconclusive"),
        ("06.settled", {"timeline": Timeline(15, "test"), "hpa": HPA}, "inconclusive"),
        ("06.overshoot", {"answer": (5, 10), "timeline": Timeline(15, "test")}, "inconclusive"),
    ],
)
def test_a_starved_or_empty_run_proves_nothing(check: str, evidence: dict[str, Any], state: str) -> None:
    assert checks.get(check).run(evidence).state == state
