"""What few students share is named, what many have or what is short is not."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labkit_grading.cli.similar import app
from labkit_grading.submissions.handed_in import HandedIn, clean
from labkit_grading.submissions.intake import take_in
from labkit_grading.submissions.released import Assignment
from labkit_grading.submissions.similar import shared
from tests.grading.unit.grading_class import HPA, QUEUE, ROOT, by_mark, folder, notebook, released

HAND = "answer-05-desired-by-hand"
ADA = """def desired(queues, target=5):
    total = 0  # as on the blackboard
    for one in queues:
        total = total + one
    return max(2, min(10, -(-total // target)))
"""
BOB = """def desired(queues, target=5):
    s = 0
    for q in queues:
        s = s + q

    return max(2, min(10, -( -s // target)))
"""
ZOE = """def desired(queues, target=5):
    import math
    wanted = math.ceil(sum(queues) / target)
    return sorted([2, wanted, 10])[1]
"""
LINES = (ROOT / HPA).read_bytes().replace(b'"1"', b'"5"')


@pytest.fixture(scope="module")
def wanted() -> Assignment:
    return released()


def answer(source: str, made: Any) -> None:
    by_mark(made, HAND).source = source


def hand_in(place: Path, answers: dict[str, str], files: dict[str, bytes] | None = None) -> Path:
    for who, source in answers.items():
        book = notebook(partial(answer, source))
        more = {HPA: (files or {})[who]} if who in (files or {}) else {}
        folder(place / who, {f"notebooks/{QUEUE}.ipynb": book, **more})
    return place


def taken(place: Path, wanted: Assignment) -> list[HandedIn]:
    return [clean(one, wanted) for one in take_in(place).submissions]


def test_an_answer_with_other_names_and_comments_is_the_same(tmp_path: Path, wanted: Assignment) -> None:
    place = hand_in(tmp_path, {"ada": ADA, "bob": BOB, "zoe": ZOE})
    [found] = shared(taken(place, wanted), wanted)
    assert (found.piece, found.students, found.same) == (HAND, ("ada", "bob"), False)


def test_files_are_compared_without_comments_and_identical_ones_are_said(
    tmp_path: Path, wanted: Assignment
) -> None:
    files = {"ada": LINES, "bob": LINES, "zoe": LINES.replace(b'"5"', b'"6" # more')}
    place = hand_in(tmp_path, {"ada": ADA, "bob": ZOE, "zoe": "desired = max"}, files)
    assert [(one.piece, one.students, one.same) for one in shared(taken(place, wanted), wanted)] == [
        (HPA, ("ada", "bob"), True)
    ]


def test_what_many_have_and_what_is_short_says_nothing(tmp_path: Path, wanted: Assignment) -> None:
    many = hand_in(tmp_path / "many", dict.fromkeys(("a", "b", "c", "d"), ADA))
    assert shared(taken(many, wanted), wanted) == []
    short = hand_in(tmp_path / "short", dict.fromkeys(("a", "b"), "desired = max"))
    assert shared(taken(short, wanted), wanted) == []


def test_the_command_lists_them_and_writes_nothing(tmp_path: Path) -> None:
    place = hand_in(tmp_path / "in", {"ada": ADA, "bob": ADA, "zoe": "def desired(:"})
    before = sorted(tmp_path.rglob("*"))
    ran = CliRunner().invoke(app, [str(place), "-b", "05"])
    assert ran.exit_code == 0
    assert f"{HAND}: ada, bob: the same to the letter" in ran.output
    assert sorted(tmp_path.rglob("*")) == before
