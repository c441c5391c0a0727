"""nbgrader itself takes the released edition: its schema, its assignment, its marks for solutions, scores.

It runs from an environment of its own beside ours, made for these tests: nine packages, a database and a web
server among them, that nobody needs to learn, teach or grade with labkit. Skipped where it can't be had.
"""

import csv
import json
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest

from labkit import checks
from labkit.notebooks.answers import BEGIN, without_solutions
from labkit.notebooks.strip import METADATA, read
from labkit_grading.release.learners import edition
from labkit_grading.release.release import release
from labkit_grading.report.gradebook import COLUMNS
from localcluster import spawn
from tests.grading.unit.grading_class import ROOT, by_mark
from tests.grading.unit.grading_jailed import NOWHERE

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CONNECT = f"""
from pathlib import Path

from labkit.kube.client import Kube
from labkit.lab import Lab, Session
from localcluster.embedded.provider import Embedded

Path("nowhere").write_text({NOWHERE!r})
lab = Lab(Session(Embedded("nowhere"), 15, 0, "test"), Kube(Path("nowhere"), namespace="llm-lab", clock=15))
"""
NAMES = """
renamed_by, labelled_by = ..., ...
### BEGIN SOLUTION
renamed_by, labelled_by = "adapter", "Prometheus"
### END SOLUTION
lab.check("05.names", renamed_by=renamed_by, labelled_by=labelled_by);
"""
LOWER = """
replicas = ...
### BEGIN SOLUTION
replicas = 10
### END SOLUTION
lab.check("04.lower-target", answer=replicas)
print("what comes after a check has no say in it")
"""
RIGHT = {
    "answer-05-names": 'renamed_by, labelled_by = "adapter", "Prometheus"',
    "answer-04-lower-target": "replicas = 10",
}
CLASS: Mapping[str, Mapping[str, str]] = {
    "ada": RIGHT,
    "bob": {**RIGHT, "answer-04-lower-target": "replicas = 2", "04-lower-target": "1"},
    "eve": {},
}
CLEARED = """
import json, sys
import nbformat
from nbgrader.preprocessors import ClearSolutions
clear = ClearSolutions(code_stub={"python": ""}, enforce_metadata=False)
cells = [nbformat.v4.new_code_cell(source) for source in json.load(sys.stdin)]
for number, cell in enumerate(cells):
    clear.preprocess_cell(cell, {"language": "python"}, number)
print(json.dumps([cell.source for cell in cells]))
"""


@dataclass(frozen=True)
class Nbgrader:
    """The program, and how to start it."""

    python: str
    env: Mapping[str, str]

    def run(self, *words: str | Path, cwd: Path) -> str:
        """`nbgrader WORDS`; what it logged."""
        done = spawn.run([self.python, "-m", "nbgrader", *words], cwd=cwd, env=self.env, seconds=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr


@pytest.fixture(scope="module")
def nbgrader(tmp_path_factory: pytest.TempPathFactory) -> Nbgrader:
    """An environment that sees ours, with nbgrader on top of it."""
    home = tmp_path_factory.mktemp("nbgrader")
    made = spawn.run([sys.executable, "-m", "venv", home / "venv"], seconds=120)
    assert made.returncode == 0, made.stderr
    python = str(home / "venv" / "bin" / "python")
    own = spawn.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], seconds=20)
    ours = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (Path(own.stdout.strip()) / "ours.pth").write_text(ours)
    pip = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--retries",
        "0",
        "--timeout",
        "5",
        "nbgrader>=0.9.6,<0.10",
    ]
    tried = spawn.run(pip, seconds=240)
    if tried.returncode:
        pytest.skip(f"nbgrader can't be had here: {tried.stderr.strip().splitlines()[-1]}")
    path = f"{home / 'venv' / 'bin'}:/usr/local/bin:/usr/bin:/bin"
    kernels = f"{sys.prefix}/share/jupyter"
    return Nbgrader(python, {"HOME": str(home), "PATH": path, "JUPYTER_PATH": kernels, "LANG": "C.UTF-8"})


def assigned(course: Path, nbgrader: Nbgrader, name: str) -> Path:
    """`nbgrader generate_assignment`: stubs stay as labkit wrote them; where the release lies."""
    nbgrader.run("generate_assignment", name, "--create", "--ClearSolutions.enabled=False", cwd=course)
    return course / "release" / name


def test_the_whole_course_is_an_assignment(nbgrader: Nbgrader, tmp_path: Path) -> None:
    learners = release(ROOT, tmp_path / "learners").folder
    source = tmp_path / "source" / "course"
    source.parent.mkdir()
    (learners / "notebooks").rename(source)
    there = assigned(tmp_path, nbgrader, "course")
    for path in NOTEBOOKS:
        before, after = (read(folder / path.name) for folder in (source, there))
        assert [cell.source for cell in after.cells] == [cell.source for cell in before.cells]
    nbgrader.run("export", "--to", "grades.csv", cwd=tmp_path)
    *theirs, status = COLUMNS
    assert (tmp_path / "grades.csv").read_text().strip() == ",".join(theirs)
    assert status == "status"  # ours stands behind them
    asked = 'import nbgrader.api as a; print(a.Gradebook("sqlite:///gradebook.db").assignments[0].max_score)'
    told = spawn.run([nbgrader.python, "-c", asked], cwd=tmp_path, env=nbgrader.env, seconds=60)
    assert float(told.stdout) == len(checks.CHECKS), told.stderr


def test_it_takes_the_very_lines_for_solutions_that_labkit_takes_out(
    nbgrader: Nbgrader, tmp_path: Path
) -> None:
    cells = [cell.source for path in NOTEBOOKS for cell in read(path).cells if BEGIN in cell.source]
    script = [nbgrader.python, "-c", CLEARED]
    done = spawn.run(script, cwd=tmp_path, env=nbgrader.env, stdin=json.dumps(cells), seconds=60)
    assert done.returncode == 0, done.stderr
    for source, cleared in zip(cells, json.loads(done.stdout), strict=True):
        assert _lines(cleared) == _lines(without_solutions(source))


def _lines(source: str) -> list[str]:
    return [line for line in source.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def quiz(nbgrader: Nbgrader, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course with one small notebook, which three students have handed in; nbgrader graded them."""
    course = tmp_path_factory.mktemp("course")
    made = nbformat.v4.new_notebook(metadata=METADATA)
    made.cells = [nbformat.v4.new_code_cell(source.strip()) for source in (CONNECT, NAMES, LOWER)]
    (course / "source" / "quiz").mkdir(parents=True)
    nbformat.write(edition(made), course / "source" / "quiz" / "quiz.ipynb")
    released = read(assigned(course, nbgrader, "quiz") / "quiz.ipynb")
    for student, answers in CLASS.items():
        place = course / "submitted" / student / "quiz"
        place.mkdir(parents=True)
        nbformat.write(_answered(released, answers), place / "quiz.ipynb")
    nbgrader.run("autograde", "quiz", "--create", cwd=course)
    return course


def _answered(released: Any, answers: Mapping[str, str]) -> Any:
    handed = nbformat.from_dict(released)
    for mark, source in answers.items():
        by_mark(handed, mark).source = source
    return handed


def test_a_point_for_each_check_that_holds_and_none_for_one_that_does_not(
    nbgrader: Nbgrader, quiz: Path
) -> None:
    nbgrader.run("export", "--to", "grades.csv", cwd=quiz)
    with (quiz / "grades.csv").open(newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert {student: float(row["score"]) for student, row in rows.items()} == {"ada": 2, "bob": 1, "eve": 0}
    assert {float(row["max_score"]) for row in rows.values()} == {2.0}


def test_its_validation_runs_a_released_notebook(nbgrader: Nbgrader, quiz: Path) -> None:
    handed = quiz / "submitted" / "ada" / "quiz" / "quiz.ipynb"
    words = [nbgrader.python, "-m", "nbgrader", "validate", str(handed)]
    done = spawn.run(words, cwd=quiz, env=nbgrader.env, seconds=120)
    assert "Success! Your notebook passes all the tests." in done.stdout, done.stderr
