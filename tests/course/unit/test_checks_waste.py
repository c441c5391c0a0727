"""Notebook 08's checks: each passes on what is right, and catches a mutant of it."""

from labkit import checks
from labkit.evidence.states import States
from tests.course.examples.waste import CRASHED, IDLE, MOVED, MUTANTS, NODES, PASSING, TOO_EARLY, node, states
from tests.course.unit.mutants import CheckTests


class TestChecks(CheckTests):
    passing, mutants, early = PASSING, MUTANTS, TOO_EARLY


def test_what_was_not_measured_is_no_wrong_answer() -> None:
    assert checks.get("08.waste").run({"answer": 0.8, "used": {}, "total": {}}).inconclusive
    assert checks.get("08.one-oom").run({"states": States(15, {})}).inconclusive
    assert checks.get("08.walled").run({"states": states(too_large=CRASHED)}).inconclusive


def test_the_hint_knows_which_slip_it_was() -> None:
    share = checks.get("08.waste").run({"answer": 0.2, **IDLE})
    percent = checks.get("08.waste").run({"answer": 80, **IDLE})
    assert "is used" in share.hint
    assert "share" in percent.hint
    closed = checks.get("08.placed").run(
        {"nodes": [node("gpu-node-1", closed=True), *NODES[1:]], "pods": MOVED}
    )
    assert "uncordon" in closed.hint
