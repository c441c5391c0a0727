"""Notebooks are run, read back and summed up; one that raises is a result like any other."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from labkit import course
from labkit.cli.notebooks import Ticker, choose
from labkit.errors import BadInput
from labkit.evidence import Verdict
from labkit.notebooks import pages, record
from labkit.notebooks.run import Plan, run
from labkit.notebooks.strip import stored, strip

CHECKED = """
from IPython.display import display
from labkit.evidence import Verdict
from labkit.view.verdict import Shown
display(Shown(Verdict("99.answer", passed=ANSWER == 42, expected="42", observed=str(ANSWER), hint="think")))
"""
RAISES = """
from labkit.errors import BadInput
from labkit.view.cell_errors import short_errors
short_errors()
def deep():
    raise BadInput("That can't be.", cause="A typo.", fix="Fix it.")
deep()
"""


def write(path: Path, *cells: str) -> Path:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, path)
    return path


ENDS_ITS_KERNEL = "import os; os._exit(3)"


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[record.Record], Path]:
    folder = tmp_path_factory.mktemp("notebooks")
    paths = (
        write(folder / "01-raises.ipynb", "ANSWER = 0", RAISES),
        write(folder / "02-checked.ipynb", "ANSWER = 0", CHECKED),
    )
    plan = Plan(paths, folder / "out", parameters={"ANSWER": 42})
    found = run(plan)
    pages.write_summary(found, plan.out)
    return found, plan.out


def test_a_notebook_that_raises_keeps_no_other_from_running(
    records: tuple[list[record.Record], Path],
) -> None:
    raised, checked = records[0]
    assert raised.error == "BadInput: That can't be."
    assert not raised.green
    assert checked.green
    wanted = Verdict("99.answer", passed=True, expected="42", observed="42", hint="think")
    assert checked.verdicts == (wanted,)


def test_a_notebook_whose_kernel_dies_keeps_no_other_from_running(tmp_path: Path) -> None:
    paths = (
        write(tmp_path / "01-dies.ipynb", "ANSWER = 0", ENDS_ITS_KERNEL),
        write(tmp_path / "02-checked.ipynb", "ANSWER = 0", CHECKED),
    )
    died, checked = run(Plan(paths, tmp_path / "out", parameters={"ANSWER": 42}))
    assert "kernel died" in died.error
    assert not died.green
    assert checked.green


def test_each_lab_takes_the_next_notebook_when_it_is_done(tmp_path: Path) -> None:
    """The first waits for the second, which the other lab runs meanwhile."""
    met = tmp_path / "met"
    says = "import os; print(os.environ['LABKIT_LAB'])"
    waits = f"import os, time\nwhile not os.path.exists({str(met)!r}): time.sleep(0.05)"
    paths = (
        write(tmp_path / "01-waits.ipynb", "ANSWER = 0", says, waits, CHECKED),
        write(tmp_path / "02-comes.ipynb", "ANSWER = 0", says, f"open({str(met)!r}, 'w').close()", CHECKED),
        write(tmp_path / "03-raises.ipynb", "ANSWER = 0", RAISES),
    )
    plan = Plan(paths, tmp_path / "out", parameters={"ANSWER": 42}, labs=("one", "two"))
    found = run(plan, Ticker({}).tick)
    assert [record.name for record in found] == [path.stem for path in paths]
    assert [record.green for record in found] == [True, True, False]
    assert {printed(plan.out / path.name) for path in paths[:2]} == {"one", "two"}


def test_an_error_of_ours_is_short_in_the_cell(records: tuple[list[record.Record], Path]) -> None:
    text = told(records[1] / "01-raises.ipynb")
    assert "Likely cause:" in text
    assert "Fix it." in text
    assert "in this cell: deep()" in text
    assert len(text.splitlines()) <= 5


SHORT = "from labkit.view.cell_errors import short_errors; short_errors()"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("lab.plot(run)", "The cell that makes `lab` has not run since the kernel started."),
        ("share = ...\nshare / 2", "`...` is still in place of an answer"),
        ("import math\nmath.ceil(...)", "`...` is still in place of an answer"),
        ("[waiting] = []", "a cell above it has not run"),
    ],
)
def test_a_cell_that_runs_too_early_gets_a_hint_and_no_stack_trace(
    tmp_path: Path, cell: str, said: str
) -> None:
    path = write(tmp_path / "01-middle.ipynb", "ANSWER = 0", SHORT, cell)
    [found] = run(Plan((path,), tmp_path / "out"))
    assert found.error
    shown = told(tmp_path / "out" / path.name)
    assert said in shown
    assert f"in this cell: {cell.splitlines()[-1]}" in shown
    assert "Traceback" not in shown
    assert len(shown.splitlines()) <= 5


def test_a_fresh_kernel_of_make_jupyter_helps_a_reader_who_begins_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(course.root() / "cluster" / "jupyter"))
    path = write(tmp_path / "01-middle.ipynb", "ANSWER = 0", 'lab.show("pods")')
    run(Plan((path,), tmp_path / "out"))
    assert "The cell that makes `lab` has not run" in told(tmp_path / "out" / path.name)


def test_an_error_from_inside_of_a_library_keeps_its_stack_trace(tmp_path: Path) -> None:
    path = write(tmp_path / "01-bug.ipynb", "ANSWER = 0", SHORT, "import json; json.loads('{')")
    [found] = run(Plan((path,), tmp_path / "out"))
    assert found.error.startswith("JSONDecodeError")
    assert "decoder.py" in told(tmp_path / "out" / path.name)


def printed(executed: Path) -> str:
    """The first thing that a notebook printed."""
    cells = nbformat.read(executed, as_version=4).cells
    return str(next(o.text.strip() for c in cells for o in c.get("outputs", []) if o.output_type == "stream"))


def told(executed: Path) -> str:
    """The error that a notebook ended with, as its cell shows it."""
    notebook = nbformat.read(executed, as_version=4)
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "error"]
    return "\n".join(outputs[0].traceback)


def test_the_summary_says_what_is_open(records: tuple[list[record.Record], Path]) -> None:
    data = json.loads((records[1] / "summary.json").read_text())
    assert data["green"] is False
    assert [n["green"] for n in data["notebooks"]] == [False, True]
    text = (records[1] / "summary.md").read_text()
    assert "| 02-checked | green | 1 of 1 |" in text
    assert "That can't be." in text


def test_pages_load_nothing_from_the_network(records: tuple[list[record.Record], Path]) -> None:
    page = (records[1] / "02-checked.html").read_text()
    assert "99.answer" in page
    assert not re.findall(r"""<(?:script|link|img)[^>]*(?:src|href)=["']https?:[^>]*>""", page)


def test_folded_answers_stay_folded_in_a_page(tmp_path: Path) -> None:
    text = "<details><summary>Who?</summary>\n\nThe *kubelet*.\n\n</details>"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    nbformat.write(notebook, tmp_path / "00-x.ipynb")
    page = pages.write_page(tmp_path / "00-x.ipynb").read_text()
    assert re.search(r"<details><summary>Who\?</summary>\s*<p>The <em>kubelet</em>\.</p>\s*</details>", page)


def test_stripping_is_stable(records: tuple[list[record.Record], Path], tmp_path: Path) -> None:
    path = tmp_path / "executed.ipynb"
    path.write_text((records[1] / "02-checked.ipynb").read_text())
    assert strip(path)
    assert not strip(path)
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    assert "papermill" not in notebook.metadata


UNSURE = """
from pathlib import Path
from IPython.display import display
from labkit.evidence import Verdict
from labkit.view.verdict import Shown
tries = Path("tries")
tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
sure = len(tries.read_text()) >= SURE_AFTER
display(Shown(Verdict("99.busy", passed=sure, inconclusive=not sure, expected="", observed="")))
"""


@pytest.mark.parametrize(("sure_after", "state"), [(2, "passed"), (3, "inconclusive")])
def test_what_could_not_be_judged_is_run_once_more(tmp_path: Path, sure_after: int, state: str) -> None:
    path = write(tmp_path / "01-unsure.ipynb", "SURE_AFTER = 0", UNSURE)
    found = run(Plan((path,), tmp_path / "out", {"SURE_AFTER": sure_after}))
    assert [v.state for v in found[0].verdicts] == [state]
    assert (tmp_path / "tries").read_text() == "xx"


def test_notebooks_are_chosen_by_number(tmp_path: Path) -> None:
    for name in ("05-hpa-queue", "00-start"):
        (tmp_path / f"{name}.ipynb").touch()
    assert [p.stem for p in choose([], tmp_path)] == ["00-start", "05-hpa-queue"]
    assert [p.stem for p in choose(["05"], tmp_path)] == ["05-hpa-queue"]
    with pytest.raises(BadInput, match="no notebook 7"):
        choose(["7"], tmp_path)


def test_a_kernel_works_in_the_folder_of_its_notebook_as_in_jupyterlab(tmp_path: Path) -> None:
    asked = "import os; print(os.getcwd())"
    path = write(tmp_path / "01-where.ipynb", "ANSWER = 0", asked)
    run(Plan((path,), tmp_path / "out"))
    notebook = nbformat.read(tmp_path / "out" / path.name, as_version=4)
    [printed] = [o.text for cell in notebook.cells if cell.source == asked for o in cell.outputs]
    assert printed.strip() == str(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "{}", '{"cells": 3, "nbformat": 4, "nbformat_minor": 5}'])
def test_what_is_no_notebook_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(text)
    with pytest.raises(BadInput, match="is not a notebook"):
        stored(path)
