"""A class's report: what a gradebook, a test viewer, Gradescope, a student and an instructor get."""

import csv
import json
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labkit.checks import CHECKS
from labkit.errors import BadInput
from labkit_grading.cli.regrade import app
from labkit_grading.judging.bundle import Bundle, Ran
from labkit_grading.judging.instructor import instructor_inputs
from labkit_grading.judging.seal import Key, key
from labkit_grading.judging.sheet import grade
from labkit_grading.report.gradebook import COLUMNS
from labkit_grading.report.overview import Overview
from labkit_grading.report.write import Graded, write
from labkit_grading.submissions.collect import write_report
from labkit_grading.submissions.remark import PERSON, Remark
from localcluster.cli.console import FOR_A_PERSON
from tests.grading.unit.grading_bundle import BEGAN, RUBRIC, bundle
from tests.grading.unit.grading_class import QUEUE

ALL = sum(check.notebook == "05" for check in CHECKS.values())
EVIL = '<script>alert("1")</script>'
TOML = 'title = "week 3"\nnotebooks = ["05"]\n[late]\ndue = 2026-12-01T12:00:00Z\neach_day = 0.5\n'


def the_class() -> list[Bundle]:
    """All right, partly right, one who posed, one whose process ended, one who tries the page, our fault."""
    early = tuple(one for one in bundle().observations if one.check in {"05.hpa", "05.names"})
    evil = bundle("eve", {"05.names": {"renamed_by": EVIL, "labelled_by": "\x1b[2J\x00\ud800" + "x" * 9999}})
    return [
        bundle("ada"),
        replace(
            bundle("bob", {"05.steps": {"answer": [2, 10]}, "05.delay": {"answer": 3}}),
            remarks=(Remark("refused", "broken JSON", "05.ipynb"), Remark("note", "cell 05-31 raised")),
        ),
        replace(bundle("=cmd"), folder="cmd-1", writes=()),
        replace(bundle("dan"), observations=early, ran=(Ran(QUEUE, 9.0, "its process ended in cell 05-31"),)),
        replace(evil, student=EVIL, remarks=(Remark("flagged", f"a link {EVIL}", EVIL),)),
        Bundle("fay", "fay", BEGAN, ran=(Ran(QUEUE, 0.0, "the cluster did not come up", ours=True),)),
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("class")


@pytest.fixture(scope="module")
def mine(place: Path) -> Key:
    return key(place / "key.pem")


@pytest.fixture(scope="module")
def report(place: Path, mine: Key) -> Path:
    folder = place / "report"
    (folder / "evidence").mkdir(parents=True)
    (folder / "rubric.toml").write_text(TOML)
    for one in the_class():
        one.save(folder / "evidence", mine)
    return folder


@pytest.fixture(scope="module")
def done(report: Path, mine: Key) -> Graded:
    return write(report, mine)


@pytest.fixture
def copy(report: Path, done: Graded, tmp_path: Path) -> Path:
    """A report that a test may change."""
    return shutil.copytree(report, tmp_path / "copy")


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_a_gradebook_gets_nbgraders_columns(report: Path, done: Graded) -> None:
    with (report / "grades.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    scores = {row["student_id"]: (row["score"], row["max_score"]) for row in rows}
    assert scores["ada"] == (f"{ALL - 1}", f"{ALL}")
    assert scores["bob"] == (f"{ALL - 3}", f"{ALL}")
    assert scores["dan"] == ("2", f"{ALL}")
    assert "'=cmd" in scores  # no formula
    assert rows[0]["duedate"] == "2026-12-01T12:00:00+00:00"


def test_every_lost_point_names_its_check_and_what_was_seen_when(report: Path, done: Graded) -> None:
    told = {one["student"]: one for one in read(report / "grades.json")["students"]}
    lost = [line for line in told["bob"]["lines"] if line["points"] < line["of"]]
    assert {line["id"] for line in lost} == {"05.hops", "05.steps", "05.delay"}
    for line in lost:
        assert line["expected"]
        assert line["observed"]
        assert line["at"]
        assert line["cell"]


def test_junit_tells_wrong_answers_from_faults_of_ours(report: Path, done: Graded) -> None:
    root = ET.fromstring((report / "junit.xml").read_text())  # noqa: S314 - our own
    suites = {suite.get("name"): suite for suite in root}
    assert suites["bob"].get("failures") == "2"
    assert suites["bob"].get("skipped") == "1"  # self-reported
    assert suites["fay"].get("errors") == f"{ALL}"
    assert suites["fay"].get("failures") == "0"
    assert root.get("tests") == str(6 * ALL)


def test_gradescope_gets_points_that_add_up(report: Path, done: Graded) -> None:
    for sheet in done.sheets:
        results = read(report / "students" / sheet.folder / "results.json")
        assert results["score"] == sum(test["score"] for test in results["tests"]) == sheet.score
        assert all(test["score"] <= test["max_score"] for test in results["tests"])
        assert {test["status"] for test in results["tests"]} <= {"passed", "failed"}


class Tags(HTMLParser):
    """The tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.sources += [value or "" for name, value in attrs if name in {"src", "href"}]


def test_pages_show_what_a_student_wrote_and_run_none_of_it(report: Path, done: Graded) -> None:
    for page in (report / "index.html", report / "students" / "eve" / "feedback.html"):
        text = page.read_text()
        assert "script" not in Tags(text).seen
        assert "&lt;script&gt;" in text
        assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text


def test_feedback_shows_the_graders_own_plot_once(report: Path, done: Graded) -> None:
    tags = Tags((report / "students" / "ada" / "feedback.html").read_text())
    assert len([one for one in tags.sources if one.startswith("data:image/png")]) == 2  # two different runs
    assert not [one for one in tags.sources if not one.startswith(("data:", "#"))]
    assert len(list((report / "students" / "ada").glob("plot-*.png"))) == 2


def test_the_instructors_page_links_each_student_and_names_what_to_look_at(
    report: Path, done: Graded
) -> None:
    text = (report / "index.html").read_text()
    links = [one for one in Tags(text).sources if one.startswith("students/")]
    assert all((report / link.partition("#")[0]).exists() for link in links)
    assert "it was not the HPA that wrote this" in text
    assert "refused: 05.ipynb: broken JSON" in text
    assert "cell 05-31 raised" not in text  # it stands on the student's page
    assert "the cluster did not come up" in text


def test_the_class_in_figures(done: Graded) -> None:
    found = Overview([sheet for sheet in done.sheets if sheet.student != "fay"])
    assert sum(one.count for one in found.bins) == 5
    assert [one.count for one in found.bins][10 * 2 // ALL] == 1  # dan, 2 of them
    steps = next(one for one in found.hardest if one.check == "05.steps")
    assert (steps.passed, steps.judged) == (2, 5)  # one wrong, one posed, one never came there
    assert found.stuck == [("dan", "05.desired-by-hand")]
    assert [(who, why) for who, _, why in Overview(done.sheets).ours] == [
        ("fay", "the cluster did not come up")
    ]
    assert len(Overview(done.sheets).shares) == 5  # fay's answers were not wrong
    assert Overview(()).bins[0].count == 0


WHY = "its cell is missing, and its answer may be in a cell that can't be matched"


@pytest.fixture
def half_read(tmp_path: Path, mine: Key) -> Path:
    """Gus, one of whose answers could not be taken; Ida, of whose work nothing could; and a stray file."""
    gus = bundle("gus")
    rest = tuple(one for one in gus.observations if one.check != "05.names")
    taken = replace(
        gus, observations=rest, unsure={"05.names": WHY}, remarks=(Remark(PERSON, WHY, "05.ipynb"),)
    )
    every = {check.id: "05.ipynb: the file is empty" for check in CHECKS.values() if check.notebook == "05"}
    ida = Bundle("ida", "ida", BEGAN, ran=(Ran(QUEUE, 0.0, "not run"),), unsure=every)
    (tmp_path / "evidence").mkdir()
    (tmp_path / "rubric.toml").write_text(TOML)
    for one in (bundle("ada"), taken, ida):
        one.save(tmp_path / "evidence", mine)
    write_report(tmp_path, [], ["x.docx: belongs to no student"])
    return tmp_path


def test_who_needs_a_person_has_no_score_and_every_reader_is_told(half_read: Path, mine: Key) -> None:
    done = write(half_read, mine)
    with (half_read / "grades.csv").open(newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert [rows[name]["status"] for name in ("ada", "gus", "ida")] == ["graded", PERSON, PERSON]
    assert rows["ada"]["score"]
    assert not rows["gus"]["score"] + rows["ida"]["score"] + rows["ida"]["raw_score"]
    told = {one["student"]: one for one in read(half_read / "grades.json")["students"]}
    assert told["gus"]["needs_a_person"] == [f"05.ipynb: {WHY}"]
    root = ET.fromstring((half_read / "junit.xml").read_text())  # noqa: S314 - our own
    suites = {suite.get("name"): suite for suite in root}
    assert (suites["gus"].get("errors"), suites["ida"].get("errors")) == ("1", f"{ALL}")
    assert f"{PERSON}: {WHY}" in (half_read / "junit.xml").read_text().replace("&apos;", "'")
    page = (half_read / "index.html").read_text()
    assert page.index("Needs a person") < page.index("Scores, in")
    assert "x.docx: belongs to no student" in page
    assert "the file is empty" in page
    feedback = (half_read / "students" / "gus" / "feedback.html").read_text()
    assert f"Not graded yet: {ALL - 2} points so far, of {ALL}" in feedback
    results = [read(half_read / "students" / name / "results.json") for name in ("ada", "gus")]
    assert [one["visibility"] for one in results] == ["after_published", "hidden"]
    shares = Overview(done.sheets).shares
    assert shares == [(ALL - 1) / ALL, (ALL - 2) / (ALL - 1)]  # ida is in no figure, nor gus' open check


def test_a_command_ends_with_the_status_for_a_person_until_one_has_graded(
    half_read: Path, place: Path, tmp_path: Path
) -> None:
    words = [str(half_read), "--key", str(place / "key.pem")]
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == FOR_A_PERSON
    assert "needs a person: gus, ida" in ran.output
    manual = tmp_path / "manual.csv"
    lines = [f"ida,{check.id},1,read by me" for check in CHECKS.values() if check.notebook == "05"]
    manual.write_text("\n".join(["student,id,points,comment", "gus,05.names,0.5,half", *lines]))
    CliRunner().invoke(app, [*words, "--manual", str(manual)])
    with (half_read / "grades.csv").open(newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert {row["status"] for row in rows.values()} == {"graded"}
    assert float(rows["gus"]["score"]) == float(rows["ada"]["score"]) - 0.5
    assert rows["ida"]["score"] == f"{ALL}"


def test_what_passed_all_the_same_is_passed(mine: Key) -> None:
    unsure = replace(bundle("ada"), unsure={"05.names": "two notebooks differ"})
    assert "passed" in {line.state for line in grade(unsure, RUBRIC).lines if line.id == "05.names"}
    assert grade(unsure, RUBRIC).status == "graded"


def test_grading_again_gives_the_same_files(report: Path, mine: Key, done: Graded) -> None:
    before = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    assert write(report, mine) == done
    assert {path: path.read_bytes() for path in report.rglob("*") if path.is_file()} == before


def test_evidence_that_was_touched_costs_one_student_and_not_the_class(
    copy: Path, place: Path, mine: Key
) -> None:
    path = copy / "evidence" / "bob.evidence"
    path.write_text(path.read_text().replace("A", "B", 1))
    found = write(copy, mine)
    assert list(found.failed) == ["bob"]
    assert len(found.sheets) == 5
    assert "bob" in read(copy / "grades.json")["not_graded"]
    ran = CliRunner().invoke(app, [str(copy), "--key", str(place / "key.pem")])
    assert ran.exit_code == 1


def test_other_weights_and_lateness_need_no_cluster(copy: Path, place: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(
        TOML.replace('["05"]', '["05"]\npoints = 0').replace("[late]", '[checks]\n"05.hpa" = 8\n[late]')
    )
    submitted = tmp_path / "submitted.csv"
    submitted.write_text("student,timestamp\nbob,2026-12-01T13:00:00+00:00\n")
    words = [str(copy), "--rubric", str(other), "--submitted", str(submitted)]
    ran = CliRunner().invoke(app, [*words, "--key", str(place / "key.pem")])
    assert ran.exit_code == 1  # fay
    with (copy / "grades.csv").open(newline="") as file:
        scores = {row["student_id"]: (row["raw_score"], row["score"]) for row in csv.DictReader(file)}
    assert scores["ada"] == ("8", "8")
    assert scores["bob"] == ("8", "4")
    assert (copy / "rubric.toml").read_text() == other.read_text()


def test_a_rubric_with_a_mistake_replaces_nothing(report: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("pionts = 1\n")
    ran = CliRunner().invoke(app, [str(report), "--rubric", str(other)])
    assert isinstance(ran.exception, BadInput)
    assert (report / "rubric.toml").read_text() == TOML


def test_what_a_person_adds_is_read_by_name(tmp_path: Path) -> None:
    submitted, manual = tmp_path / "s.csv", tmp_path / "m.csv"
    submitted.write_text("student,timestamp\nada,2026-12-01T12:00:00+00:00\n")
    manual.write_text("student,id,points,comment\nada,essay,4.5,well said\n")
    found = instructor_inputs(["ada"], submitted=submitted, manual=manual)["ada"]
    assert found.submitted == datetime(2026, 12, 1, 12, tzinfo=UTC)
    assert found.manual == {"essay": (4.5, "well said")}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("student,timestamp\nzoe,2026-12-01T12:00:00+00:00\n", "zoe"),
        ("student,timestamp\nada,yesterday\n", "line 2"),
        ("student,timestamp\nada,2026-12-01T12:00:00\n", "time zone"),
        ("name,when\nada,1\n", "no column student"),
    ],
)
def test_a_line_that_can_not_be_read_is_named(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(BadInput, match=word):
        instructor_inputs(["ada"], submitted=tmp_path / "s.csv", manual=None)


def test_a_folder_without_evidence_says_so(tmp_path: Path, mine: Key) -> None:
    (tmp_path / "rubric.toml").write_text(TOML)
    with pytest.raises(BadInput, match="no evidence"):
        write(tmp_path, mine)


def test_a_grade_is_the_same_three_times() -> None:
    assert len({str(grade(one, RUBRIC)) for one in [bundle("ada") for _ in range(3)]}) == 1
