"""The course's own notebooks, solved and graded on a real cluster: all points that a grader can vouch for."""

from pathlib import Path

import pytest

from labkit.notebooks import needs
from labkit_grading.judging.rubric import of
from labkit_grading.judging.seal import key
from labkit_grading.judging.sheet import Sheet, grade
from labkit_grading.room import furnish
from labkit_grading.run import run
from labkit_grading.submissions.intake import take_in
from labkit_grading.submissions.released import assignment
from localcluster import catalog
from tests.grading.unit.grading_class import ROOT
from tests.grading.unit.grading_solved import hand_in

pytestmark = pytest.mark.long

SELF_REPORTED = {"05.hops"}
"""Four cells fill that dict, each with what it read off an answer: nobody else can work it out again."""
NUMBERS = sorted(path.name[:2] for path in ROOT.glob("notebooks/[0-9]*.ipynb"))


@pytest.fixture(params=NUMBERS)
def number(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sheet(number: str, tmp_path: Path) -> Sheet:
    [path] = ROOT.glob(f"notebooks/{number}-*.ipynb")
    if lack := needs.lacking(path, catalog.get("embedded")):
        pytest.skip(lack)
    hand_in(number, tmp_path / "class" / "ada")
    signed = key(tmp_path / "key.pem")
    room = furnish(ROOT, tmp_path / "report", signed, rubric=None, notebooks=[path.stem])
    wanted, intake = assignment(ROOT, [path]), take_in(tmp_path / "class")
    [bundle] = run(room, intake, wanted, tell=print, workers=1)
    return grade(bundle, of({"notebooks": [number]}))


def test_a_solved_notebook_has_all_points_and_no_flag(number: str, sheet: Sheet) -> None:
    short = {
        line.id: (line.state, line.observed, line.note) for line in sheet.lines if line.state != "passed"
    }
    told = {name for name, (state, *_) in short.items() if state == "self-reported"}
    unjudged = {line.id for line in sheet.unjudged}  # a machine that was too busy is no wrong answer
    assert set(short) - told - unjudged == set(), (short, sheet.remarks)
    assert told <= SELF_REPORTED
    assert not sheet.flagged, sheet.remarks
