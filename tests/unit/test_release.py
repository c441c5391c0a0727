"""The learner's edition: what an author keeps is not in it, what a learner needs is, and no work is lost."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from labkit import checks
from labkit.errors import BadInput
from labkit.notebooks.answers import BEGIN
from labkit.notebooks.learners import edition
from labkit.notebooks.release import MARK, answers, release
from labkit.notebooks.steps import steps
from labkit.notebooks.strip import read

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release(ROOT, tmp_path_factory.mktemp("release") / "learners").folder


@pytest.fixture(params=NOTEBOOKS)
def notebook(request: pytest.FixtureRequest, out: Path) -> Any:
    return read(out / "notebooks" / f"{request.param}.ipynb")


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def marks(notebook: Any) -> list[dict[str, Any]]:
    return [cell.metadata.nbgrader for cell in code(notebook) if "nbgrader" in cell.metadata]


def test_no_solution_and_no_test_is_handed_out(out: Path) -> None:
    assert not [path for path in out.rglob("*") if path.name in {"solutions", "tests", "hidden"}]
    assert not [path for path in (out / "notebooks").iterdir() if BEGIN in path.read_text()]
    assert answers(out) == "exercises"
    assert answers(ROOT) == "solutions"


def test_what_a_learner_needs_is_there(out: Path) -> None:
    for name in ("labkit/lab.py", "cluster/versions.toml", "scripts/setup", "scripts/lab", "environment.yml"):
        assert (out / name).exists(), name
    exercises = {path.relative_to(ROOT) for path in ROOT.glob("manifests/*/exercises/*")}
    assert exercises == {path.relative_to(out) for path in out.glob("manifests/*/exercises/*")}
    assert (out / "cluster/images/model-server/.dockerignore").exists()


def test_what_only_authors_can_run_is_not_promised(out: Path) -> None:
    for name in ("Makefile", "README.md"):
        text = (out / name).read_text()
        assert "AUTHORS" not in text
        assert not re.search(r"tests/|make (test|unit|bench|gates)\b", text), name
    scripts = set(re.findall(r"scripts/[\w-]+", (out / "Makefile").read_text()))
    assert scripts == {str(path.relative_to(out)) for path in (out / "scripts").iterdir()}


def test_a_released_notebook_is_python_with_files_that_are_there(notebook: Any, out: Path) -> None:
    assert 'ANSWERS = "exercises"' in code(notebook)[0].source
    for cell in code(notebook):
        assert cell.source
        ast.parse(cell.source)
        for name in re.findall(r"manifests/[\w./{}-]+", cell.source):
            path = name.replace("{PROVIDER}", "embedded").replace("{ANSWERS}", "exercises").rstrip(".")
            assert (out / path).exists(), name


def test_each_check_is_a_locked_cell_of_its_own_worth_a_point(notebook: Any) -> None:
    graded = [mark for mark in marks(notebook) if mark["grade"]]
    found = [step.check for step in steps(notebook)]
    assert [mark["grade_id"].replace("-", ".", 1) for mark in graded] == found
    assert all(mark["locked"] and not mark["solution"] and mark["points"] == 1 for mark in graded)


def test_grade_ids_are_nbgraders_and_unique(notebook: Any) -> None:
    names = [mark["grade_id"] for mark in marks(notebook)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w-]+", name) for name in names)


def test_an_answer_is_the_learners_to_write(notebook: Any) -> None:
    for mark in marks(notebook):
        assert mark["solution"] != mark["grade"]
        assert mark["solution"] != mark["locked"]


def test_above_each_answer_stands_a_folded_hint(notebook: Any) -> None:
    for above, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        if cell.metadata.get("nbgrader", {}).get("solution") or "{ANSWERS}" in cell.source:
            names = re.findall(r"<details><summary>Hint for <code>(.+?)</code>", above.source)
            assert names, cell.source
            assert all(checks.get(name).hint in above.source for name in names)


def cells(*sources: str) -> Any:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


def test_an_answer_and_its_checks_become_cells_of_their_own() -> None:
    made = edition(
        cells(
            f'a = ...\n{BEGIN}\na = 1\n### END SOLUTION\nlab.check("05.hpa")\nlab.check("05.steps", answer=a)'
        )
    )
    assert [cell.source for cell in code(made)] == [
        "a = ...",
        'lab.check("05.hpa").points',
        'lab.check("05.steps", answer=a).points',
    ]
    assert [mark["grade_id"] for mark in marks(made)] == ["answer-05-hpa", "05-hpa", "05-steps"]
    assert made.cells[0].source.count("<details>") == 2


def test_a_check_inside_of_another_statement_is_refused() -> None:
    with pytest.raises(BadInput, match="inside of another statement"):
        edition(cells('if True:\n    lab.check("05.hpa")'))


def test_an_older_edition_is_replaced_and_one_that_was_worked_in_is_not(tmp_path: Path) -> None:
    out = release(ROOT, tmp_path / "out").folder
    (out / "out").mkdir()  # results of a run are no work
    release(ROOT, out)
    assert not (out / "out").exists()
    exercise = next(out.glob("manifests/*/exercises/*.yaml"))
    exercise.write_text("# mine\n")
    with pytest.raises(BadInput, match="Somebody worked"):
        release(ROOT, out)
    assert exercise.read_text() == "# mine\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("place", ["full", "file", "manifests/out"])
def test_a_place_that_is_not_ours_to_write_is_refused(tmp_path: Path, place: str) -> None:
    course = tmp_path / "course"
    (course / "manifests").mkdir(parents=True)
    (course / "full").mkdir()
    (course / "full" / "thesis.txt").write_text("years of work")
    (course / "file").write_text("a file")
    with pytest.raises(BadInput):
        release(course, course / place)
    assert sorted(path.name for path in course.iterdir()) == ["file", "full", "manifests"]


def test_an_edition_is_no_source_of_editions(out: Path, tmp_path: Path) -> None:
    assert json.loads((out / MARK).read_text())["files"]
    with pytest.raises(BadInput, match="learner's edition itself"):
        release(out, tmp_path / "again")


def test_a_release_that_fails_leaves_the_older_one_alone(out: Path, tmp_path: Path) -> None:
    course, target = tmp_path / "course", tmp_path / "out"
    release(ROOT, target)
    for name in ("labkit", "cluster", "manifests"):
        (course / name).mkdir(parents=True)
    with pytest.raises(FileNotFoundError):
        release(course, target)  # it lacks pyproject.toml
    assert (target / "README.md").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["course", "out"]
