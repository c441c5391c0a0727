"""Mutants on the real cluster: a solution with one thing wrong is applied, and just its own check says so."""

import pytest

from labkit.lab import Lab
from tests.course.on_lab import MUTANTS, Mutant, problems

pytestmark = [pytest.mark.embedded, pytest.mark.long]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.check)
def test_a_mutant_is_named_by_its_own_check_and_by_no_other(lab: Lab, mutant: Mutant) -> None:
    assert problems(lab, mutant) == []


def test_a_mutant_that_changes_nothing_is_told(lab: Lab) -> None:
    same = Mutant(
        "00.coffee", "00-start/solutions/coffee.yaml", ("Pod", "Pod"), ("pod/coffee running",), anew=True
    )
    [problem] = problems(lab, same)
    assert problem.where == "00.coffee"
    assert "holds although" in problem.what
