"""labkit stays small, and no house looks for its data by counting folders."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from localcluster import spawn

ROOT = Path(__file__).parents[3]
HOUSES = ("cluster/localcluster", "labkit", "notebooks/course", "grading/labkit_grading")
MOST = 12_300


def modules(house: str) -> list[Path]:
    return sorted(path for path in (ROOT / house).rglob("*.py") if "_pb2" not in path.name)


def test_labkit_is_small() -> None:
    assert sum(len(path.read_text().splitlines()) for path in modules("labkit")) < MOST


@pytest.mark.parametrize("house", HOUSES)
def test_data_is_found_by_its_package_and_not_by_counting_folders(house: str) -> None:
    """`importlib.resources`, or beside the module: a wheel has no checkout around it."""
    counting = re.compile(r"__file__\)[\w.()]*\.(parents\[|parent\.parent)")
    assert [path for path in modules(house) if counting.search(path.read_text())] == []


def test_tests_mirror_the_houses() -> None:
    names = {Path(house).name.removeprefix("labkit_") for house in HOUSES if house != "cluster/localcluster"}
    mirrored = {path.parent.name for path in (ROOT / "tests").glob("*/unit")}
    assert mirrored == names | {"cluster", "model_server", "repository"}
    known = {"unit", "live", "kind", "notebooks", "browser"}
    assert {path.parent.name for path in (ROOT / "tests").rglob("test_*.py")} <= known


@pytest.mark.parametrize("module", ["course.checks", "course.capstone", "labkit.checks", "course.hpa"])
def test_each_house_can_be_imported_first(module: str) -> None:
    """Two that need each other load in either order."""
    code = f"import {module}; from labkit import checks; assert checks.CHECKS"
    done = spawn.run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == 0, done.stderr
