"""Notebook 02's checks: each passes on what is right, and catches a mutant of it."""

from labkit import checks
from labkit.evidence import Timeline
from labkit.evidence.states import Span, States
from tests.course.examples.deploy import BAD, HALF, MUTANTS, PASSING, TOO_EARLY, load, runs
from tests.course.unit.mutants import CheckTests


class TestChecks(CheckTests):
    passing, mutants, early = PASSING, MUTANTS, TOO_EARLY


def test_what_chance_or_nobody_brought_about_is_no_wrong_answer() -> None:
    assert checks.get("02.healed").run({"timeline": Timeline(15, "test"), "pods": []}).inconclusive
    assert checks.get("02.grace").run({"answer": 98, "longest": 0.0, "pre_stop": 15}).inconclusive
    lucky = runs(BAD, load(), HALF)
    assert checks.get("02.variants").run({"runs": lucky}).inconclusive


def test_the_hint_speaks_of_the_failure_that_is_left() -> None:
    kinds = ("http_503", "reset", "broken", "refused")
    hints = {checks.get("02.zero-downtime").run({"load": load(**{kind: 3})}).hint for kind in kinds}
    assert len(hints) == len(kinds)


def test_a_real_kubelet_calls_most_of_a_wait_error() -> None:
    spans, now = [Span("Running", 0, 2)], 2.0
    for wait in (15, 30, 60):
        spans += [Span("Error", now, now + wait - 1), Span("CrashLoopBackOff", now + wait - 1, now + wait)]
        spans += [Span("Running", now + wait, now + wait + 2)]
        now += wait + 2
    seen = States(15, {"pod": (*spans, Span("Error", now, now + 90))})
    verdict = checks.get("02.backoff").run({"answer": 160, "states": seen})
    assert verdict.passed
    assert "waits so far: 15 s, 30 s, 60 s" in verdict.observed


def test_a_run_that_no_look_saw_still_ends_a_wait() -> None:
    pause = "CrashLoopBackOff"
    spans = (Span(pause, 0, 10, 1), Span(pause, 10, 31, 2), Span("Running", 31, 33, 3))
    seen = States(15, {"pod": (*spans, Span(pause, 33, 73, 3), Span("Running", 73, 75, 4))})
    verdict = checks.get("02.backoff").run({"answer": 160, "states": seen})
    assert verdict.passed
    assert "waits so far: 10 s, 21 s, 40 s" in verdict.observed
