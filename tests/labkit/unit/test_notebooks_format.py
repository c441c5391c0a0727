"""What every notebook of the course keeps to (STYLE, "Notebooks"); no cluster is needed to see it."""

import ast
import builtins
import re
from pathlib import Path
from typing import Any

import pytest

from labkit import checks
from labkit.errors import BadInput
from labkit.notebooks.answers import BEGIN, END, without_solutions
from labkit.notebooks.strip import read, stored

ROOT = Path(__file__).parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LINES = 8  # of code in one cell, solution marks, blank lines and comments not counted
COLUMNS = 106  # of code: more are cut off on an exported page, and beside the file browser on a laptop
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
DRAWN = 84  # columns of a block in prose: more are wrapped there, and a drawing falls apart


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def lines(source: str) -> int:
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in source.splitlines())


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def notebook(path: Path) -> Any:
    return read(path)


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


def test_stored_without_outputs(path: Path) -> None:
    assert path.read_text() == stored(path), "run scripts/strip-notebooks"


def test_begins_with_title_question_and_minutes(path: Path, notebook: Any) -> None:
    head = notebook.cells[0]
    assert head.cell_type == "markdown"
    assert re.match(rf"# {path.stem[:2]} · .+\?\n", head.source)
    assert re.search(r"[Aa]bout \d+ minutes", head.source)


def test_one_cell_of_parameters(notebook: Any) -> None:
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert tagged[0] is code(notebook)[0]
    assert set(re.findall(r"^(\w+) =", tagged[0].source, re.MULTILINE)) == {
        "PROVIDER",
        "ANSWERS",
        "SEED",
        "CLOCK",
    }


def test_connects_and_resets_first(notebook: Any) -> None:
    _, second, third, *_ = code(notebook)
    assert "labkit.connect(provider=PROVIDER, clock=CLOCK, seed=SEED)" in second.source
    # By itself: after a restart of the kernel one goes on without it. 01 teaches how to log in.
    assert third.source in {"lab.reset()", "lab.reset(login=False)"}


def test_cells_of_code_are_short(notebook: Any) -> None:
    long = [cell.source for cell in code(notebook)[1:] if lines(cell.source) > LINES]
    assert not long


def test_nothing_is_wider_than_a_page(notebook: Any) -> None:
    written = [line for cell in code(notebook) for line in cell.source.splitlines()]
    assert [line for line in written if len(line) > COLUMNS] == []
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    blocks = [block for source in prose for block in BLOCK.findall(source)]
    assert [line for block in blocks for line in block.splitlines() if len(line) > DRAWN] == []


def test_at_most_two_cells_of_code_in_a_row(notebook: Any) -> None:
    kinds = "".join(cell.cell_type[0] for cell in notebook.cells)
    assert "ccc" not in kinds[1:]


def test_no_sleeping_and_no_shell(notebook: Any) -> None:
    for cell in code(notebook):
        assert not re.search(r"sleep\(|^%%bash|^!|subprocess", cell.source, re.MULTILINE), cell.source


def test_every_cell_is_python_with_and_without_solutions(notebook: Any) -> None:
    for cell in code(notebook):
        ast.parse(cell.source)
        ast.parse(without_solutions(cell.source))


def test_checks_exist_and_belong_here(path: Path, notebook: Any) -> None:
    used = {
        name for cell in code(notebook) for name in re.findall(r"lab\.check\(\s*\"([^\"]+)\"", cell.source)
    }
    assert used
    assert used <= set(checks.CHECKS)
    assert all(name.startswith(path.stem[:2]) for name in used)


def test_every_check_of_the_notebook_is_used(path: Path, notebook: Any) -> None:
    source = "\n".join(cell.source for cell in code(notebook))
    own = {name for name in checks.CHECKS if name.startswith(path.stem[:2])}
    assert {name for name in own if f'"{name}"' not in source} == set()


def test_closes_with_questions_reading_and_clean_up(notebook: Any) -> None:
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert 8 <= text.count("<details>") <= 12
    assert "## What you learned" in text
    assert "## Further reading" in text
    assert "lab.reset()" in code(notebook)[-1].source


def test_files_that_are_named_are_there(notebook: Any) -> None:
    for cell in notebook.cells:
        for name in re.findall(r"manifests/[\w./{}-]+", cell.source):
            filled = name.replace("{PROVIDER}", "embedded").rstrip(".")
            for answers in ("exercises", "solutions"):
                assert (ROOT / filled.replace("{ANSWERS}", answers)).exists(), name


@pytest.mark.parametrize("source", [BEGIN, END, f"{BEGIN}\n{BEGIN}\n{END}", f"{END}\n{BEGIN}"])
def test_marks_without_a_partner_are_refused(source: str) -> None:
    with pytest.raises(BadInput, match="no partner"):
        without_solutions(source)


def test_solutions_go_and_the_rest_stays() -> None:
    source = f"a = ...\n{BEGIN}\na = 1\n{END}\nprint(a)"
    assert without_solutions(source) == "a = ...\nprint(a)"


def test_every_name_that_a_cell_reads_is_assigned_in_some_cell(notebook: Any) -> None:
    nodes = [node for cell in code(notebook) for node in ast.walk(ast.parse(cell.source))]
    names = [node for node in nodes if isinstance(node, ast.Name)]
    known = {name.id for name in names if isinstance(name.ctx, ast.Store)} | set(dir(builtins))
    known |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    known |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    known |= {(node.asname or node.name).partition(".")[0] for node in nodes if isinstance(node, ast.alias)}
    assert {name.id for name in names} - known == set()
