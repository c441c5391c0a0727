"""Stored evidence is judged as it was when it was stored: each check of the course, right and wrong.

`tests/golden/evidence` holds what `Bundle.pack` gave at 3d8bd7f for the first right evidence of each check
(`ada`) and for its first mutant (`bob`); beside each stand the lines of the sheet that it had then.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labkit import checks
from labkit_grading.judging.bundle import Bundle, load, store
from labkit_grading.judging.rubric import of
from labkit_grading.judging.seal import key
from labkit_grading.judging.sheet import grade
from labkit_grading.judging.sources import Source

STORED = Path(__file__).parents[2] / "golden" / "evidence"
RUBRIC = of({"title": "the whole course", "notebooks": [f"{number:02}" for number in range(11)]})


SINCE = {"05.policy", *(check for check in checks.CHECKS if check[:2] in {"11", "12"})}
"""Checks that the course did not have then."""


def bundle(student: str, folder: Path) -> Bundle:
    """A bundle of before, sealed with a key of this test."""
    own = key(folder / "key.pem")
    body = (STORED / f"{student}.txt").read_text().removesuffix("\n")
    return load(store(body, folder / f"{student}.evidence", own), own)


def lines(graded: Bundle) -> Iterator[str]:
    return (f"{line.id} {line.state} {line.points:g}" for line in grade(graded, RUBRIC).lines)


@pytest.mark.parametrize("student", ["ada", "bob"])
def test_a_bundle_of_before_is_graded_as_before(student: str, tmp_path: Path) -> None:
    told = list(lines(bundle(student, tmp_path)))
    assert [line for line in told if line.split()[0] not in SINCE] == (
        (STORED / f"{student}.sheet").read_text().splitlines()
    )
    assert {line.partition(" ")[2] for line in told if line.split()[0] in SINCE} == {"not reached 0"}


def test_every_check_stands_in_both(tmp_path: Path) -> None:
    for student in ("ada", "bob"):
        stored = {one.check for one in bundle(student, tmp_path).observations}
        assert stored == set(checks.CHECKS) - SINCE


def test_what_only_a_student_vouched_for_earns_nothing_still(tmp_path: Path) -> None:
    kept = bundle("ada", tmp_path)
    doubtful = [
        replace(one, given={n: replace(g, own=g.source is not Source.RECORDED) for n, g in one.given.items()})
        for one in kept.observations
    ]
    found = grade(replace(kept, observations=tuple(doubtful)), RUBRIC)
    told = {line.id for line in found.lines if line.state == "self-reported"}
    assert told == {one.check for one in doubtful if one.self_reported}
    assert not sum(line.points for line in found.lines if line.id in told)
