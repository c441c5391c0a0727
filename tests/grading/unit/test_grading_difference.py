"""Two gradings of a class are compared check by check."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labkit.errors import BadInput
from labkit_grading.cli.compare import app
from labkit_grading.judging.sheet import InstructorInput, grade
from labkit_grading.report.difference import Change, Mark, changes, read
from labkit_grading.report.gradebook import grades_json
from tests.grading.unit.grading_bundle import RUBRIC, bundle, rubric


def written(place: Path, *sheets: str) -> Path:
    """A report's folder in which these students' steps are wrong."""
    every = [
        bundle(who, {"05.steps": {"answer": [2, 10]}} if who in sheets else None) for who in ("ada", "bob")
    ]
    place.mkdir()
    (place / "grades.json").write_text(grades_json([grade(one, RUBRIC) for one in every], RUBRIC, {}))
    return place


def test_only_what_changed_is_told_with_old_and_new_points(tmp_path: Path) -> None:
    old, new = written(tmp_path / "old", "ada"), written(tmp_path / "new", "bob")
    found = list(changes(read(old), read(new)))
    assert found[0] == Change("ada", "05.steps", Mark(0, "failed"), Mark(1, "passed"))
    assert [(one.student, one.check) for one in found] == [
        (who, what) for who in ("ada", "bob") for what in ("05.steps", "in all")
    ]
    assert found[1].new.points == (found[1].old.points or 0) + 1
    assert list(changes(read(old), read(old))) == []


def test_a_student_or_a_check_that_one_of_them_lacks_is_a_change(tmp_path: Path) -> None:
    old = written(tmp_path / "old")
    asked = rubric(points=1, manual=[{"id": "essay", "points": 5}])
    sheets = [grade(replace(bundle("zoe")), asked, InstructorInput(manual={"essay": (2.5, "")}))]
    (tmp_path / "new.json").write_text(grades_json(sheets, asked, {}))
    found = {(one.student, one.check): one for one in changes(read(old), read(tmp_path / "new.json"))}
    assert {who for who, _ in found} == {"ada", "bob", "zoe"}
    assert found["zoe", "essay"].old == Mark()
    assert str(found["zoe", "essay"].new) == "2.5 graded"
    assert str(found["ada", "05.hpa"].new) == "–"


def test_the_command_shows_it_and_writes_nothing(tmp_path: Path) -> None:
    old, new = written(tmp_path / "old", "ada"), written(tmp_path / "new")
    before = (old / "grades.json").read_bytes()
    ran = CliRunner().invoke(app, [str(old), str(new / "grades.json")])
    assert ran.exit_code == 0
    assert "ada: 05.steps: 0 failed → 1 passed" in ran.output
    assert "changed: 1 of 2 students" in ran.output
    assert "changed: 0 of 2 students" in CliRunner().invoke(app, [str(old), str(old)]).output
    assert (old / "grades.json").read_bytes() == before


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", json.dumps({"students": [{"student": "ada"}]}), '{"students": 5}']
)
def test_what_is_no_grading_is_refused(text: str, tmp_path: Path) -> None:
    old = written(tmp_path / "old")
    other = shutil.copytree(old, tmp_path / "other")
    (other / "grades.json").write_text(text)
    for path in (other, other / "grades.json", tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BadInput, match="holds no grades"):
            read(path)
