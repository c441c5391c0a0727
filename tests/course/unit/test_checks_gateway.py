"""Notebook 12's checks: each passes on what is right, and catches a mutant of it."""

import pytest

from course.checks.gateway_faults import SETTINGS, setting
from course.gateway import answered_by_new, breakdown, free_elsewhere, mean_ttft
from labkit import checks
from labkit.metrics.series import Rows, Sample
from tests.course.examples.gateway import KEPT, MOVED, MUTANTS, PASSING, TOO_EARLY, VAIN, VALVE, load, waited
from tests.course.unit.mutants import CheckTests


class TestChecks(CheckTests):
    passing, mutants, early = PASSING, MUTANTS, TOO_EARLY


def test_a_request_that_waits_knows_how_many_places_were_free_elsewhere() -> None:
    assert [free for _, free in free_elsewhere(VAIN, places=2)] == [2, 2, 2, 0, 2]


def test_new_servers_answer_what_was_held_and_nothing_that_was_sent() -> None:
    assert answered_by_new(MOVED) == 2  # the last had waited for a second only
    assert answered_by_new(KEPT) == 0
    assert answered_by_new(load([])) == 0


def test_a_run_in_which_the_valve_helped_is_no_wrong_answer() -> None:
    assert checks.get("12.moved").run(VALVE | {"valve": 30.0}).inconclusive
    better = {"answer": 1, "random": waited(1, 2), "picked": waited(1, 3)}
    assert checks.get("12.epp").run(better).inconclusive


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_has_one_name(name: str) -> None:
    assert setting(name) == name
    assert setting(f"it is {name}") == ""


class Asked:
    """A lab whose Prometheus has counted 4 requests: 2 real seconds held, 12 and 1 lab s in servers."""

    def metrics(self, query: str) -> Rows:
        grown = {"duration_seconds_sum": 8.0, "queue_time_seconds_sum": 48.0, "prefill_time_seconds_sum": 4.0}
        added = next((value for name, value in grown.items() if f"_{name} " in query), 4.0)
        return Rows(query, (Sample({}, added, 0.0),))


def test_the_time_to_first_token_is_broken_down_in_lab_seconds() -> None:
    run = waited(50, 40)
    assert mean_ttft(run) == 45
    parts = breakdown(Asked(), run)
    assert parts == {
        "held at the gateway": 30.0,
        "in a server's queue": 12.0,
        "prefill": 1.0,
        "all": 45.0,
    }
