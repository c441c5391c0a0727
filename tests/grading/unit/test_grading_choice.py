"""Which notebooks a class is graded in where one needs programs that are not built."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import ToolchainError
from labkit_grading import choice
from labkit_grading.sites.site import Site
from tests.labkit.unit.test_notebook_needs import bare, built, two, write

__all__ = ["bare", "built", "two"]
HERE = Site()


def chosen(two: list[Path], rubric: Path, *, named: bool = False) -> tuple[list[str], list[object]]:
    told: list[object] = []
    found = choice.gradable(two, HERE, named=named, rubric=rubric, tell=told.append)
    return [path.stem for path in found], told


def rubric(folder: Path, *notebooks: str) -> Path:
    path = folder / "rubric.toml"
    path.write_text(f"notebooks = {list(notebooks)}\n".replace("'", '"'))
    return path


@pytest.mark.usefixtures("bare")
def test_unless_asked_it_is_left_out_and_told(two: list[Path], tmp_path: Path) -> None:
    names, [line] = chosen(two, tmp_path / "none")
    assert names == ["01-plain"]
    assert "11-keda is left out: keda-operator and keda-adapter are not built yet" in str(line)


@pytest.mark.usefixtures("bare")
def test_named_or_counted_it_is_built_first(two: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="Not available here: keda-operator"):
        chosen(two, tmp_path / "none", named=True)
    with pytest.raises(ToolchainError, match="Not available here: keda-operator"):
        chosen([write(tmp_path / "05-keda.ipynb", "keda")], rubric(tmp_path, "05"))


@pytest.mark.usefixtures("built")
def test_where_it_is_built_it_is_graded(two: list[Path], tmp_path: Path) -> None:
    assert chosen(two, tmp_path / "none") == (["01-plain", "11-keda"], [])


@pytest.mark.usefixtures("built")
def test_a_run_that_began_without_it_goes_on_without_it(two: list[Path], tmp_path: Path) -> None:
    """Else the whole class would run again, for points that its rubric does not have."""
    names, [line] = chosen(two, rubric(tmp_path, "05"))
    assert names == ["01-plain"]
    assert line == "11-keda is left out: rubric.toml does not count it"


def test_on_a_shared_cluster_other_rules_refuse_it(two: list[Path], tmp_path: Path) -> None:
    found = choice.gradable(two, Site("kind"), named=False, rubric=tmp_path / "none", tell=print)
    assert found == two
