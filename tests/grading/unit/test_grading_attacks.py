"""Twenty-five hostile submissions and more: none scores what it did not earn, and each is flagged."""

from pathlib import Path

import psutil
import pytest

from labkit.notebooks.answers import BEGIN, without_solutions
from labkit.notebooks.strip import read
from labkit_grading.submissions import reach
from tests.attacks import ANSWERS, CLUSTERED, JAILED, HandIn
from tests.grading.unit.grading_class import ROOT
from tests.grading.unit.grading_jailed import CHECKS, Desk

CELL = 15.0  # real seconds: what never ends takes all of them
SLOW = {"deaf-to-signals", "endless", "floods-comms", "stops-while-it-is-asked"}
ATTACKS = [pytest.param(name, marks=[pytest.mark.long] if name in SLOW else []) for name in JAILED]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk.at(tmp_path_factory.mktemp("desk"))


def test_there_are_many() -> None:
    assert len(JAILED | CLUSTERED) == len(JAILED) + len(CLUSTERED) >= 25


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_earns_nothing_but_its_honest_part_and_is_flagged(desk: Desk, name: str) -> None:
    sheet, bundle = desk.run(JAILED[name], cell=CELL)
    passed = {line.id for line in sheet.lines if line.points}
    assert CHECKS[0] in passed <= set(JAILED[name].earns), bundle  # the first is honest work of all of them
    assert sheet.flagged, bundle
    assert not [one for one in psutil.process_iter() if "attack-that-stays" in " ".join(_argv(one))]


def test_who_is_honest_is_not_flagged(desk: Desk) -> None:
    sheet, _ = desk.run(HandIn(ANSWERS), student="zoe")
    assert {line.id for line in sheet.lines if line.points} == set(CHECKS)
    assert not sheet.remarks


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_no_solution_of_the_course_reaches_for_what_no_exercise_needs(path: Path) -> None:
    for cell in read(path).cells:
        if cell.cell_type == "code" and BEGIN in cell.source:
            given = reach.beyond(without_solutions(cell.source))
            assert [one for one in reach.beyond(cell.source) if one not in given] == [], cell.id


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os, math\nfrom numpy import array", ["os"]),
        ("from labkit.checks import get\nfrom labkit.load import Closed", ["labkit.checks"]),
        ("lab.check = print\nlab.check('05.hpa')", ["lab.check", "lab.check ="]),
        ("type(lab).check = print\nlabkit.load.Closed = None", ["labkit.load.Closed =", "type(lab).check ="]),
        ("!ls /\n%run x", ["!ls /", "%run x"]),
        ("().__class__.__base__", ["__base__", "__class__"]),
        ("def broken(:", []),
        ("wanted = max(2, min(10, len(queues)))  # os._exit(0)", []),
    ],
)
def test_what_a_cell_reaches_for_is_named(source: str, found: list[str]) -> None:
    assert reach.beyond(source) == found


def _argv(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
