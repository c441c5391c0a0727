"""Whoever does the work is not flagged: each notebook, solved, in its sandbox, with a lab that is not there.

What a cell asks for is refused, or flagged, before the lab is asked. So all that needs no cluster shows here
in seconds; whether it works on one, `tests/embedded/test_grading_course.py` tells.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from labkit.grading.broker import Broker
from labkit.grading.bundle import Observation
from labkit.grading.derived import to_run
from labkit.grading.handed_in import clean
from labkit.grading.intake import take_in
from labkit.grading.released import assignment
from labkit.grading.sitting import Patience, Sitting
from labkit.grading.student import parameters
from tests.unit.grading_class import ROOT
from tests.unit.grading_jailed import Desk
from tests.unit.grading_solved import hand_in

NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
VOUCHED = {"03": {"03.capacity", "03.little"}, "06": {"06.trace"}, "10": {"10.keda"}}
"""Checks whose figures follow from the course's files alone: worked out again, with no cluster."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk.at(tmp_path_factory.mktemp("desk"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_an_honest_student_is_not_flagged(desk: Desk, path: Path, tmp_path: Path) -> None:
    wanted = assignment(ROOT, [path])
    released = wanted.notebooks[path.stem]
    hand_in(path.name[:2], tmp_path / "class" / "ada")
    handed = clean(take_in(tmp_path / "class").submissions[0], wanted)
    seat = tmp_path / "seat"
    shutil.copytree(desk.edition / "manifests", seat / "manifests")
    for place, data in handed.exercises.items():
        (seat / place).write_bytes(data)
    broker = Broker(desk.lab, seat, released, desk.edition)
    made, patience = to_run(handed.notebooks[path.stem].notebook, released), Patience(cell=15, notebook=120)
    ran = Sitting(path.stem, made, broker, desk.edition, seat, parameters(), patience).run()
    flagged = [one for one in (*handed.remarks, *broker.seen.remarks) if one.kind == "flagged"]
    assert not [one for one in flagged if one.what != ran.ended]
    seen: Mapping[str, Observation] = {one.check: one for one in broker.seen.observations}
    assert seen
    assert VOUCHED.get(path.name[:2], set()) <= set(seen)
    assert not [name for name, one in seen.items() if one.self_reported]
