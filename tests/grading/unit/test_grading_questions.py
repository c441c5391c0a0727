"""What a person grades stands on one page, by question, with the rows that are left."""

import csv
import html
from dataclasses import replace
from pathlib import Path

from labkit_grading.judging.instructor import instructor_inputs
from labkit_grading.judging.sheet import InstructorInput, Sheet, grade
from labkit_grading.report.pages import by_hand
from labkit_grading.report.questions import left, questions
from tests.grading.unit.grading_bundle import bundle, rubric

ASKED = rubric(
    manual=[{"id": "essay", "question": "Why a <queue>?", "points": 5}, {"id": "plot", "points": 2}]
)
WHY = "its cell is missing"


def sheets() -> list[Sheet]:
    """Ada, half graded; a student whose name is a formula; one of whose answers could not be taken."""
    ada = grade(bundle("ada"), ASKED, InstructorInput(manual={"essay": (4.5, "well said")}))
    odd = grade(replace(bundle("=1+1, or so"), folder="odd"), ASKED)
    rest = tuple(one for one in bundle().observations if one.check != "05.names")
    gus = grade(replace(bundle("gus"), observations=rest, unsure={"05.names": WHY}), ASKED)
    return [ada, odd, gus]


def test_questions_and_checks_for_a_person_are_listed_with_what_is_open_first() -> None:
    found = {name: lines for name, _, _, lines in questions(sheets())}
    assert set(found) == {"essay", "plot", "05.names"}
    assert [(sheet.student, line.state) for sheet, line in found["essay"]][-1] == ("ada", "graded")
    assert [sheet.student for sheet, _ in found["05.names"]] == ["gus"]
    page = by_hand(sheets(), ASKED)
    assert "Why a &lt;queue&gt;?" in page
    assert "6 to grade by hand" in page
    assert "well said" in page
    assert WHY in page


def test_the_rows_that_are_left_can_be_filled_in_and_given_back(tmp_path: Path) -> None:
    page = html.unescape(by_hand(sheets(), ASKED))
    rows = page.partition("<pre>")[2].partition("</pre>")[0]
    filled = [[*row[:2], "1", "by hand"] for row in csv.reader(rows.splitlines()[1:])]
    path = tmp_path / "manual.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["student", "id", "points", "comment"], *filled])
    given = instructor_inputs([one.student for one in sheets()], manual=path, rubric=ASKED)
    assert {who: sorted(one.manual or {}) for who, one in given.items()} == {
        "ada": ["plot"],
        "=1+1, or so": ["essay", "plot"],
        "gus": ["05.names", "essay", "plot"],
    }


def test_a_class_that_needs_nobody_has_an_empty_page() -> None:
    done = [grade(bundle("ada"), rubric())]
    assert left(questions(done)) == []
    assert "Nothing to grade by hand" in by_hand(done, rubric())
