"""What a learner reads after a wrong turn: people read the pages, and a few rules hold by themselves."""

import re
from collections import Counter

import pytest

from labkit import checks
from labkit.evidence import plainly
from tests.course import examples
from tests.course.hints import ENOUGH, NOTEBOOKS, PAGES, page

RECORDED = {"00.game", "02.healed", "02.variants", "03.two-loops", "03.trade", "04.slept", "04.side-by-side"}
"""Checks that ask the learner for nothing: the cells do all of it."""
STEPS = {"01.two-versions", "02.rollback"}
"""Asks for steps only, and there are few ways to leave one out."""
TURNS = [(name, given) for notebook in NOTEBOOKS for name, given in examples.wrong(notebook)]


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_the_page_of_hints_is_the_one_that_was_read(notebook: str) -> None:
    assert page(notebook) == (PAGES / f"{notebook}.txt").read_text(), (
        "scripts/hints writes it; read the change"
    )


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_each_check_knows_three_wrong_turns(notebook: str) -> None:
    known = Counter(name for name, _ in examples.wrong(notebook))
    own = {name for name in checks.CHECKS if name[:2] == notebook} - RECORDED
    assert {name: known[name] for name in own if known[name] < ENOUGH} == {}


@pytest.mark.parametrize(("name", "given"), TURNS, ids=[name for name, _ in TURNS])
def test_no_wrong_turn_shows_the_answer(name: str, given: dict[str, object]) -> None:
    check, right = checks.get(name), dict(reversed(examples.right(name[:2])))[name]
    verdict = check.run(given)
    for answer in (right[part] for part in check.answers if part in right and part in given):
        same = any(given[part] == answer for part in check.answers)
        if isinstance(answer, int | float) and answer not in {0, 1} and not same:
            words = re.findall(r"-?[\d.]+", f"{verdict.observed} {verdict.hint}")
            assert plainly(answer) not in [word.rstrip(".") for word in words], verdict
        if isinstance(answer, str) and not same:
            assert answer not in verdict.hint.split(), verdict
