"""Several workers run a class: the grades are those of one, whoever is killed, and nothing is left over."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from labkit.errors import BadInput
from labkit_grading.judging.bundle import Bundle
from labkit_grading.judging.rubric import of
from labkit_grading.judging.sheet import grade
from localcluster import polling, spawn
from localcluster.spawn import Proc
from tests.attacks import ANSWERS, HandIn
from tests.grading.live.grading_quiz import ROOT, SHORT, grade_class

pytestmark = pytest.mark.long

RUBRIC = of({"notebooks": ["05"], "points": 0, "checks": dict.fromkeys(SHORT.checks, 1)})
NODES = 'desired = lab.kubectl("label nodes --all mine=1")'
HALF = ("05.hpa", "05.names")
STUDENTS = {
    "ada": HandIn(ANSWERS, SHORT.checks),
    "bob": HandIn(hpa=None),
    "cleo": HandIn({"answer-05-names": ANSWERS["answer-05-names"]}, HALF),
    "dora": HandIn({**ANSWERS, "answer-05-desired-by-hand": NODES}, HALF),
    "eve": HandIn(ANSWERS, SHORT.checks),
}
"""Dora does something that outlives a reset."""


def hand_in_class(place: Path, names: str = "ada bob cleo dora eve") -> Path:
    for name in names.split():
        STUDENTS[name].write(place / "class" / name, SHORT.name, SHORT.released)
    return place


def earned(bundles: Mapping[str, Bundle]) -> dict[str, tuple[str, ...]]:
    sheets = {name: grade(bundle, RUBRIC) for name, bundle in bundles.items()}
    return {name: tuple(line.id for line in sheet.lines if line.points) for name, sheet in sheets.items()}


def expected(names: str = "ada bob cleo dora eve") -> dict[str, tuple[str, ...]]:
    return {name: STUDENTS[name].earns for name in names.split()}


def processes(place: Path) -> list[str]:
    """Whatever still runs below a folder: workers, labs, kernels."""
    found = []
    for process in psutil.process_iter():
        try:
            told = [*process.cmdline(), *process.environ().values(), process.cwd()]
        except (psutil.Error, OSError):
            continue
        if process.pid != os.getpid() and any(str(place) in word for word in told):
            found.append(" ".join(process.cmdline())[:200])
    return found


def grader(place: Path, workers: int) -> spawn.Child:
    argv = [sys.executable, "-m", "tests.grading.live.grading_quiz", str(place), SHORT.name, str(workers)]
    return spawn.popen(argv, cwd=ROOT, log=place / "grader.log")


def evidence(place: Path) -> dict[str, int]:
    """When each file of evidence was written."""
    return {path.stem: path.stat().st_mtime_ns for path in (place / "report" / "evidence").glob("*.evidence")}


def await_first(place: Path) -> None:
    polling.until(lambda: evidence(place), "the first student's evidence", seconds=300, every=0.2)


def test_two_workers_give_the_grades_of_one_and_any_run_those_of_the_last(tmp_path: Path) -> None:
    for number, workers in enumerate((1, 2, 2)):
        place = hand_in_class(tmp_path / str(number))
        lines: list[str] = []
        assert earned(grade_class(place, SHORT, workers=workers, tell=lines.append)) == expected()
        assert any(line.startswith(f"{workers} worker") for line in lines)
        assert any("4 of 5" in line and "left" in line for line in lines)
        assert processes(place) == []


def test_a_grader_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    place = hand_in_class(tmp_path)
    child = grader(place, 2)
    await_first(place)
    child.kill()
    child.wait()
    before = evidence(place)
    assert earned(grade_class(place, SHORT, workers=2)) == expected()
    after = evidence(place)
    assert {name: after[name] for name in before} == before
    assert processes(place) == []


def test_the_student_of_a_worker_that_is_killed_is_taken_up_by_another(tmp_path: Path) -> None:
    place = hand_in_class(tmp_path, "ada bob eve")
    child = grader(place, 2)
    await_first(place)
    records = [Proc.load(path) for path in (place / "report/work/workers").glob("*.json")]
    for one in records:
        if one and one.alive():
            os.kill(one.pid, signal.SIGKILL)
    assert child.wait(400) == 0
    assert earned(grade_class(place, SHORT)) == expected("ada bob eve")
    assert processes(place) == []


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    place = hand_in_class(tmp_path, "ada bob eve")
    child = grader(place, 2)
    await_first(place)
    with pytest.raises(BadInput, match="Another labkit grade"):
        grade_class(place, SHORT)
    child.send_signal(signal.SIGINT)
    child.wait(60)
    assert processes(place) == []
    assert not list((place / "report/work/workers").glob("*.json"))
