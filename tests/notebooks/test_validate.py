"""`labkit validate` on a real lab: the course's first notebook holds, and the command says so in points."""

import os
import sys
from pathlib import Path

import pytest

from course.untouched import OPEN
from localcluster import spawn
from tests.notebooks.test_notebooks import ROOT

pytestmark = [pytest.mark.notebooks, pytest.mark.long]


def test_a_notebook_earns_all_with_solutions_and_untouched_what_is_declared(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "labkit.cli", "validate", "-b", "00", "--out", str(tmp_path)]
    done = spawn.run(command, cwd=ROOT, env=os.environ, seconds=600)
    assert done.returncode == 0, done.stdout + done.stderr
    [row] = [line.split("  ") for line in done.stdout.splitlines() if line.startswith("00-start")]
    cells = [cell.strip() for cell in row if cell.strip()]
    declared = 8 - len(OPEN["00-start"])
    assert cells[-3:] == ["8 of 8", f"{declared} of {declared}", "3 of 3"]
    assert (tmp_path / "solutions" / "00-start.ipynb").exists()
    assert (tmp_path / "exercises" / "00-start.ipynb").exists()
