"""Notebooks that need an optional part of a lab: left out of a run of all, with one line; never if named."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from labkit.cli import notebooks as cli
from labkit.errors import BadInput, ToolchainError
from labkit.notebooks import needs, pages
from labkit.notebooks.strip import read, stored, strip
from localcluster import catalog
from tests.cluster.unit.toolchain_world import put_into_cache
from tests.grading.unit.grading_class import ROOT

EMBEDDED = catalog.get("embedded")


def write(path: Path, *wanted: str) -> Path:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")])
    if wanted:
        notebook.metadata["labkit"] = {"needs": list(wanted)}
    nbformat.write(notebook, path)
    strip(path)
    return path


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / "01-plain.ipynb"), write(tmp_path / "11-keda.ipynb", "keda")]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing has been built, and nothing can be: no Go, no package index."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with KEDA's programs."""
    put_into_cache(tmp_path / "cache", ["keda-operator", "keda-adapter"])
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))


def test_what_a_notebook_needs_survives_its_stored_form(two: list[Path]) -> None:
    assert [needs.of(read(path)) for path in two] == [[], ["keda"]]
    assert stored(two[1]) == two[1].read_text()


def test_a_part_that_no_lab_has_is_a_mistake_of_the_notebook(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no optional part 'kedaa'"):
        needs.of(read(write(tmp_path / "11-x.ipynb", "kedaa")))


def test_a_run_of_all_leaves_out_what_is_not_built_and_says_how_to_get_it(
    two: list[Path], bare: None, tmp_path: Path
) -> None:
    told: list[object] = []
    found, left = needs.ready(two, EMBEDDED, named=(), tell=told.append)
    assert [path.stem for path in found] == ["01-plain"]
    assert told == [str(one) for one in left]
    [line] = told
    assert "11-keda is left out: keda-operator and keda-adapter are not built yet" in str(line)
    assert "labkit toolchain fetch keda-operator keda-adapter" in str(line)
    assert "min" in str(line)
    page = pages.write_summary([], tmp_path, left)
    assert "| 11-keda | left out | | |" in page.read_text()
    assert "0 of 1 notebooks ran." in page.read_text()
    assert str(line) in page.read_text()
    assert json.loads((tmp_path / "summary.json").read_text())["left_out"] == [left[0].to_json()]


def test_once_built_it_runs_with_the_others(two: list[Path], built: None) -> None:
    assert needs.ready(two, EMBEDDED, named=(), tell=print) == (two, [])
    assert needs.ready(two, EMBEDDED, named=two, tell=print) == (two, [])


def test_a_cluster_of_others_has_no_such_part(two: list[Path], built: None) -> None:
    elsewhere = catalog.get("existing")
    found, left = needs.ready(two, elsewhere, named=(), tell=print)
    assert [path.stem for path in found] == ["01-plain"]
    assert "a lab on existing has no keda" in left[0].why
    with pytest.raises(BadInput, match="11-keda needs keda, and a lab on existing has none"):
        needs.ready(two, elsewhere, named=two, tell=print)


def test_a_named_notebook_gets_its_programs_or_an_error(two: list[Path], bare: None) -> None:
    with pytest.raises(ToolchainError, match="Not available here: keda-operator, keda-adapter"):
        needs.ready(two, EMBEDDED, named=two, tell=print)


def test_the_help_of_the_command_says_so() -> None:
    said = CliRunner().invoke(cli.app, ["run", "--help"]).output
    assert "leaves them out" in " ".join(said.split())


def test_every_notebook_that_calls_a_part_says_that_it_needs_it() -> None:
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        notebook = read(path)
        code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
        called = {name for name in needs.RUNS if f"lab.{name}(" in code}
        assert called == set(needs.of(notebook)), path.stem
