"""Whoever does the work is not flagged: each notebook, solved, in its sandbox, with a lab that is not there.

What a cell asks for is refused, or flagged, before the lab is asked. So all that needs no cluster shows here
in seconds; whether it works on one, `tests/grading/live/test_grading_course.py` tells.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from labkit_grading.judging.bundle import Observation
from labkit_grading.kernel.handover import HandOver
from labkit_grading.sitting import Patience, Sitting
from labkit_grading.student import parameters
from labkit_grading.submissions.released import assignment
from labkit_grading.verbs.broker import Broker
from tests.grading.unit.grading_class import ROOT
from tests.grading.unit.grading_jailed import Desk
from tests.grading.unit.grading_solved import solved

NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
VOUCHED = {"03": {"03.capacity", "03.little"}, "06": {"06.trace"}, "10": {"10.keda"}}
"""Checks whose figures follow from the course's files alone: no cluster is needed for them."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk.at(tmp_path_factory.mktemp("desk"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_an_honest_student_is_not_flagged(desk: Desk, path: Path) -> None:
    released = assignment(ROOT, [path]).notebooks[path.stem]
    broker = Broker(desk.lab, desk.edition, HandOver(released), desk.edition)
    patience = Patience(cell=15, notebook=120)
    ran = Sitting(path.stem, solved(path), broker, desk.edition, desk.edition, parameters(), patience).run()
    assert not [one for one in broker.seen.remarks if one.kind == "flagged" and one.what != ran.ended]
    seen: Mapping[str, Observation] = {one.check: one for one in broker.seen.observations}
    assert seen
    assert VOUCHED.get(path.name[:2], set()) <= set(seen)
    assert not [name for name, one in seen.items() if one.self_reported]
