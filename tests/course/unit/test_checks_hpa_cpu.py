"""Notebook 04's checks: each passes on what is right, and catches a mutant of it."""

from dataclasses import replace
from typing import Any

import pytest

from labkit import checks
from labkit.evidence import Timeline
from tests.course.examples.hpa_cpu import ASLEEP, AWAKE, MUTANTS, PASSING, TOO_EARLY, recording, two
from tests.course.unit.mutants import CheckTests


class TestChecks(CheckTests):
    passing, mutants, early = PASSING, MUTANTS, TOO_EARLY


@pytest.mark.parametrize(
    ("check", "evidence"),
    [
        ("04.slept", {"timeline": Timeline(15, "test")}),
        ("04.suffered", {"answer": 60, "timeline": recording(latency=((30, 0.2),))}),
        ("04.side-by-side", two(ASLEEP, AWAKE, 48, 8, lag=9)),  # a starved generator
        ("04.side-by-side", two(replace(ASLEEP, series=()), AWAKE)),
    ],
)
def test_a_run_that_shows_nothing_is_inconclusive(check: str, evidence: dict[str, Any]) -> None:
    assert checks.get(check).run(evidence).state == "inconclusive"
