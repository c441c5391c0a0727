"""What a person adds to a report is taken whole or not at all, and is kept."""

import csv
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from labkit.errors import BadInput
from labkit_grading.cli.regrade import app
from labkit_grading.judging.instructor import instructor_inputs
from labkit_grading.judging.names import cell, of_cell
from labkit_grading.judging.rubric import of
from labkit_grading.judging.seal import Key, key
from labkit_grading.report.write import Growing, write
from tests.grading.unit.grading_bundle import bundle, rubric

NAMES = ("ada", "=cmd", "'=cmd", "'quoted", "＠home", "bob")
TOML = """title = "week 3"
notebooks = ["05"]
points = 0
[checks]
"05.hpa" = 10
[late]
due = 2026-12-01T12:00:00Z
each_day = 0.5
[[manual]]
id = "essay"
question = "Why?"
points = 5
"""
ESSAY = rubric(points=0, manual=[{"id": "essay", "points": 5}])


@pytest.fixture
def mine(tmp_path: Path) -> Key:
    return key(tmp_path / "key.pem")


@pytest.fixture
def report(tmp_path: Path, mine: Key) -> Path:
    folder = tmp_path / "report"
    (folder / "evidence").mkdir(parents=True)
    (folder / "rubric.toml").write_text(TOML)
    for number, name in enumerate(NAMES):
        few = tuple(one for one in bundle().observations if one.check == "05.hpa")
        replace(bundle(name), folder=f"s{number}", observations=few).save(folder / "evidence", mine)
    write(folder, mine)
    return folder


def regrade(report: Path, tmp_path: Path, **given: str) -> Result:
    words = [str(report), "--key", str(tmp_path / "key.pem")]
    for option, text in given.items():
        path = tmp_path / f"given-{option}"
        path.write_text(text, encoding="utf-8")
        words += [f"--{option}", str(path)]
    return CliRunner().invoke(app, words)


def grades(report: Path) -> dict[str, dict[str, str]]:
    with (report / "grades.csv").open(newline="") as file:
        return {row["student_id"]: row for row in csv.DictReader(file)}


def contents(report: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("manual", "word"),
    [
        ("bob,essay,nan,", "not a number of points"),
        ("bob,essay,-inf,", "not a number of points"),
        ("bob,essay,1e999,", "not a number of points"),
        ("bob,essay,-0.5,", "not a number of points"),
        ("bob,essay,four,", "not a number of points"),
        ("bob,essay,,", "not a number of points"),
        ("bob,essay,5.5,", "which has 5"),
        ("bob,esay,3,", "no question or check 'esay'"),
        ("bob,,3,", "no question or check ''"),
        ("rob,essay,3,", "no student 'rob'"),
        ("bob,essay,3,\nbob,essay,4,", "line 3 with other values"),
    ],
)
def test_a_mistake_in_points_changes_nothing(manual: str, word: str, report: Path, tmp_path: Path) -> None:
    before = contents(report)
    other = f"{TOML}# new\n"
    given = f"student,id,points,comment\nada,essay,1,\n{manual}\n"
    ran = regrade(report, tmp_path, rubric=other, manual=given)
    assert isinstance(ran.exception, BadInput)
    assert word in ran.exception.what
    assert contents(report) == before


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.0001, "3", None])
@pytest.mark.parametrize("place", ["points", "check", "share", "late", "manual"])
def test_a_rubric_has_real_numbers_only(value: Any, place: str) -> None:
    late = {"due": datetime(2026, 12, 1, tzinfo=UTC), "each_day": value}
    data: dict[str, Any] = {
        "points": {"points": value},
        "check": {"checks": {"05.hpa": value}},
        "share": {"self_reported": value},
        "late": {"late": late},
        "manual": {"manual": [{"id": "essay", "points": value}]},
    }[place]
    with pytest.raises(BadInput, match="not a number of points"):
        of(data)


def test_every_question_has_an_id_of_its_own() -> None:
    for ids in (["essay", "essay"], ["05.hpa"]):
        with pytest.raises(BadInput, match="id of another"):
            of({"manual": [{"id": one} for one in ids]})


def test_lateness_that_was_given_once_is_kept(report: Path, mine: Key, tmp_path: Path) -> None:
    assert "not counted as late: " in regrade(report, tmp_path).output
    late = "student,timestamp\nada,2026-12-01T13:00:00+00:00\nbob,2026-12-03T13:00:00+01:00\n"
    ran = regrade(report, tmp_path, submitted=late)
    assert (grades(report)["ada"]["score"], grades(report)["bob"]["score"]) == ("5", "0")
    told = ran.output.partition("not counted as late: ")[2].splitlines()[0]
    assert "ada" not in told
    assert "=cmd" in told
    regrade(report, tmp_path, manual="student,id,points,comment\nada,essay,4,well\n")
    assert grades(report)["ada"]["score"] == "7"
    regrade(report, tmp_path, submitted="student,timestamp\nbob,2026-12-01T11:00:00Z\n")
    assert (grades(report)["ada"]["score"], grades(report)["bob"]["score"]) == ("7", "10")
    page = (report / "index.html").read_text()
    assert "Time of submission not known" in page
    every = "student,timestamp\n" + "".join(f"{cell(n)},2026-12-01T11:00:00Z\n" for n in NAMES)
    assert "not counted as late" not in regrade(report, tmp_path, submitted=every).output
    assert "Time of submission not known" not in (report / "index.html").read_text()
    assert Growing(report, mine).add(bundle("new")).untimed == ("new",)
    assert grades(report)["ada"]["score"] == "14"


def test_a_class_without_lateness_needs_no_times(report: Path, tmp_path: Path) -> None:
    (report / "rubric.toml").write_text(TOML.replace("[late]", "[late_]").partition("[late_]")[0])
    assert "not known" not in regrade(report, tmp_path).output


def test_names_are_taken_back_as_they_stand_in_the_gradebook(report: Path, tmp_path: Path) -> None:
    assert len(grades(report)) == len(NAMES)
    names = list(grades(report))
    lines = [f"{name},essay,{number / 2},\n" for number, name in enumerate(names)]
    regrade(report, tmp_path, manual="student,id,points,comment\n" + "".join(lines))
    scores = {name: float(row["raw_score"]) for name, row in grades(report).items()}
    assert scores == {name: 10 + number / 2 for number, name in enumerate(names)}
    before = grades(report)
    regrade(report, tmp_path)  # from what was kept
    assert grades(report) == before


@pytest.mark.parametrize(
    "name",
    [
        "=1+1", "＝1+1", "+49", "－x", "-", "@a", "\t=1", "\u200b=1", "\u202e@", " =1", "'", "''", "'=1",
        "Ada", "O'Hara", "", "\ufeff-2", "﹦1",
    ],
)  # fmt: skip
def test_a_cell_is_no_formula_and_is_read_back(name: str) -> None:
    assert of_cell(cell(name)) == name
    assert cell(name).startswith("'") == (name not in {"Ada", "O'Hara", ""})


def test_names_in_cells_are_as_different_as_names() -> None:
    names = ["=a", "'=a", "''=a", "a", "'a"]
    assert len({cell(one) for one in names}) == len(names)


@pytest.mark.parametrize("saved", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_file_may_come_from_any_spreadsheet(saved: str, tmp_path: Path) -> None:
    text = "student;id;points;comment\r\nZoë;essay;4,5;schön\r\n;;;\r\n"
    (tmp_path / "m.csv").write_bytes(text.encode(saved))
    found = instructor_inputs(["Zoë"], manual=tmp_path / "m.csv", rubric=ESSAY)
    assert found["Zoë"].manual == {"essay": (4.5, "schön")}


def test_points_that_change_nothing_are_named(report: Path, tmp_path: Path) -> None:
    ran = regrade(report, tmp_path, manual="student,id,points,comment\nbob,05.hpa,3,\n")
    assert "points not used: bob, 05.hpa" in ran.output
    assert grades(report)["bob"]["score"] == "10"
