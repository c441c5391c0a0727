"""The learner's edition: what an author keeps is not in it, what a learner needs is, and no work is lost."""

import ast
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import nbformat
import pytest

from labkit import checks
from labkit.errors import BadInput
from labkit.notebooks.answers import BEGIN, available
from labkit.notebooks.strip import read
from labkit_grading.release.learners import edition
from labkit_grading.release.release import MARK, PAGES, release
from labkit_grading.release.words import linked
from tests.course.steps import steps

ROOT = Path(__file__).parents[3]
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
    assert not [path for path in (out / "notebooks").glob("*.ipynb") if BEGIN in path.read_text()]
    assert available(out) == "exercises"
    assert available(ROOT) == "solutions"


def test_what_a_learner_needs_is_there(out: Path) -> None:
    for name in (
        "labkit/lab.py",
        "notebooks/course/checks/start.py",
        "cluster/localcluster/data/versions.toml",
        "scripts/setup",
        "scripts/lab",
        "environment.yml",
    ):
        assert (out / name).exists(), name
    # setuptools builds nothing without them
    for name in tomllib.loads((out / "pyproject.toml").read_text())["project"]["license-files"]:
        assert (out / name).read_bytes() == (ROOT / name).read_bytes()
    exercises = {path.relative_to(ROOT) for path in ROOT.glob("manifests/*/exercises/*")}
    assert exercises == {path.relative_to(out) for path in out.glob("manifests/*/exercises/*")}
    assert (out / "cluster/images/model-server/.dockerignore").exists()


def test_what_only_authors_can_run_is_not_promised(out: Path) -> None:
    for name in ("Makefile", *PAGES):
        text = (out / name).read_text()
        assert "AUTHORS" not in text
        assert not re.search(r"tests/|make (test|unit|bench|gates)\b", text), name
    scripts = set(re.findall(r"scripts/[\w-]+", (out / "Makefile").read_text())) | {"scripts/packages.py"}
    assert scripts == {str(path.relative_to(out)) for path in (out / "scripts").iterdir()}


def test_every_link_of_a_page_leads_somewhere(out: Path) -> None:
    for course in (ROOT, out):
        pages = [*course.glob("*.md"), *course.glob("docs/*.md")]
        assert len(pages) > len(PAGES)
        for page in pages:
            for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
                assert (page.parent / link).exists(), (page, link)


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


def test_text_leads_to_the_files_and_says_nothing_that_only_authors_do(notebook: Any, out: Path) -> None:
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for link in re.findall(r"\]\(\.\./([^)]+)\)", text):
        assert (out / link).is_file(), link
    assert 'ANSWERS = "exercises"' not in text
    assert "labkit solution" in notebook.cells[-1].source


def test_files_are_linked_in_prose_and_not_in_blocks_of_code() -> None:
    text = "Open `manifests/a/b.yaml`.\n```\n`manifests/a/b.yaml`\n```\nthe folder `manifests/a`"
    assert linked(text) == text.replace(
        "`manifests/a/b.yaml`.", "[`manifests/a/b.yaml`](../manifests/a/b.yaml)."
    )


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
    with pytest.raises(BadInput, match="inside another statement"):
        edition(cells('if True:\n    lab.check("05.hpa")'))


def test_an_older_edition_is_replaced_and_one_that_was_worked_in_is_not(tmp_path: Path) -> None:
    out = release(ROOT, tmp_path / "out").folder
    (out / "out").mkdir()  # results of a run are no work
    release(ROOT, out)
    assert not (out / "out").exists()
    exercise = next(out.glob("manifests/*/exercises/*.yaml"))
    exercise.write_text("# mine\n")
    with pytest.raises(BadInput, match="Someone has worked"):
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
