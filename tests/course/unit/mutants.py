"""What each notebook's checks are held to, in one piece: what is right passes, and every mutant is caught.

    class TestChecks(CheckTests):
        passing, mutants = PASSING, MUTANTS

A mutant is evidence (an answer, an object, a recording) with one thing wrong. For each check there is one
that no other check of the notebook names. Others see of it what they see in the notebook: an object that
both read at the same moment, or the very recording that both are handed.
"""

from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

import pytest

from labkit import checks
from labkit.load import LoadResult
from labkit.notebooks.strip import read
from tests.course.mutants import Case, Right
from tests.course.unit.blanks import empty, stopped

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"


class CheckTests:
    """Tests of all checks of one notebook; a subclass names the evidence."""

    passing: ClassVar[Sequence[Case]] = ()
    mutants: ClassVar[Sequence[Case]] = ()
    early: ClassVar[Sequence[Case]] = ()
    """Evidence that is empty, or was taken before there was anything to see."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        for name, cases in (("right", self.passing), ("mutant", self.mutants), ("nothing", self.early)):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, cases, ids=[check for check, _ in cases])
        if "check" in metafunc.fixturenames:
            metafunc.parametrize("check", [check for check in checks.CHECKS if check[:2] in self.notebooks()])

    def notebooks(self) -> set[str]:
        return {check[:2] for check, _ in self.passing}

    def test_what_is_right_passes(self, right: Case) -> None:
        verdict = checks.get(right[0]).run(right[1])
        assert verdict.passed, verdict
        assert not verdict.hint

    def test_mutant_is_caught_with_a_hint(self, mutant: Case) -> None:
        verdict = checks.get(mutant[0]).run(mutant[1])
        assert verdict.state == "failed", verdict
        assert verdict.observed
        assert verdict.hint

    def test_nothing_to_see_is_no_wrong_answer(self, nothing: Case) -> None:
        verdict = checks.get(nothing[0]).run(nothing[1])
        assert verdict.state == "inconclusive", verdict
        assert "nothing to judge yet" in verdict.observed
        assert "again" in verdict.hint  # it names the step

    @pytest.mark.parametrize("answer", [..., None, "", "five", -1, [], {}, object()])
    def test_no_answer_raises_or_passes(self, check: str, answer: Any) -> None:
        asked = checks.get(check).answers
        if asked:  # the rest is recorded by labkit, or read from the cluster
            verdict = checks.get(check).run({**self.first(check), **dict.fromkeys(asked, answer)})
            assert not verdict.passed, verdict

    def test_what_is_not_there_neither_raises_nor_passes(self, check: str) -> None:
        read = checks.get(check).reads
        if read:
            verdict = checks.get(check).run({**self.first(check), **dict.fromkeys(read)})
            assert not verdict.passed, verdict

    def test_evidence_of_nothing_can_not_be_judged(self, check: str) -> None:
        asked, right = checks.get(check), self.first(check)
        for name in asked.recordings:
            for nothing in empty(right[name]):
                verdict = asked.run({**right, name: nothing})
                if name in asked.may_be_empty:
                    assert not verdict.passed, (name, verdict)
                    continue
                assert verdict.state == "inconclusive", (name, verdict)
                assert "nothing to judge yet" in verdict.observed, (name, verdict)
                assert "un the" in verdict.hint, (name, verdict)

    @pytest.mark.parametrize("odd", ["none", 7, [1, 2], object()])
    def test_what_is_no_recording_neither_raises_nor_passes(self, check: str, odd: Any) -> None:
        asked, right = checks.get(check), self.first(check)
        for name in [name for name in asked.recordings if not _alike(odd, right[name])]:
            verdict = asked.run({**right, name: odd})
            assert not verdict.passed, (name, verdict)

    def test_a_load_that_was_stopped_after_a_second_does_not_pass(self, check: str) -> None:
        asked, right = checks.get(check), self.first(check)
        loads = {name: stopped(load) for name, load in right.items() if isinstance(load, LoadResult)}
        for name, load in loads.items():
            verdict = asked.run({**right, name: load})
            assert not verdict.passed, (name, verdict)

    def test_check_has_a_mutant_that_names_no_other(self, check: str) -> None:
        own = [evidence for name, evidence in self.mutants if name == check]
        assert own, f"{check} can't fail: give it a mutant"
        right = Right.of(self.passing, _notebook(check))
        named = [right.named_by(check, evidence) for evidence in own]
        assert [] in named, f"each mutant of {check} is named by another check, too: {named}"

    def first(self, check: str) -> Mapping[str, Any]:
        """Evidence with which the check passes."""
        return next(evidence for name, evidence in self.passing if name == check)


def _alike(one: Any, other: Any) -> bool:
    return type(one) is type(other) or (isinstance(one, Real) and isinstance(other, Real))


def _notebook(check: str) -> Any:
    [path] = NOTEBOOKS.glob(f"{check[:2]}-*.ipynb")
    return read(path)
