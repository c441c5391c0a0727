"""What each notebook's checks are held to, in one piece: what is right passes, and every mutant is caught.

    class TestChecks(CheckTests):
        passing, mutants = PASSING, MUTANTS

A mutant is evidence (an answer, an object, a recording) with one thing wrong. For each check there is one
that no other check of the notebook names. Others see of it what they see in the notebook: an object that
both read at the same moment, or the very recording that both are handed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from labkit import checks
from labkit.notebooks.strip import read
from labkit.validation.mutants import Case, Right

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


class CheckTests:
    """Tests of all checks of one notebook; a subclass names the evidence."""

    passing: ClassVar[Sequence[Case]] = ()
    mutants: ClassVar[Sequence[Case]] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        for name, cases in (("right", self.passing), ("mutant", self.mutants)):
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

    def test_check_has_a_mutant_that_names_no_other(self, check: str) -> None:
        own = [evidence for name, evidence in self.mutants if name == check]
        assert own, f"{check} can't fail: give it a mutant"
        right = Right.of(self.passing, _notebook(check))
        named = [right.named_by(check, evidence) for evidence in own]
        assert [] in named, f"each mutant of {check} is named by another check, too: {named}"

    def first(self, check: str) -> Mapping[str, Any]:
        """Evidence with which the check passes."""
        return next(evidence for name, evidence in self.passing if name == check)


def _notebook(check: str) -> Any:
    [path] = NOTEBOOKS.glob(f"{check[:2]}-*.ipynb")
    return read(path)
