"""The learner's edition runs from its own folder, by the command of its README, with open checks only."""

import json
import os
import sys
from pathlib import Path

import pytest

from course.untouched import OPEN
from labkit_grading.release.release import release
from localcluster import spawn
from tests.notebooks.test_notebooks import ROOT

pytestmark = pytest.mark.notebooks


def test_an_untouched_edition_runs_to_its_end_and_fails_exactly_its_exercises(tmp_path: Path) -> None:
    learners = release(ROOT, tmp_path / "learners").folder
    env = {**os.environ, "PYTHONPATH": f"{learners}:{learners}/cluster", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "labkit.cli", "notebooks", "run", "00", "--out", str(tmp_path / "out")]
    done = spawn.run(command, env=env, cwd=learners, seconds=400)
    assert done.returncode == 1, done.stderr  # checks are open
    [notebook] = json.loads((tmp_path / "out" / "summary.json").read_text())["notebooks"]
    assert not notebook["error"]
    failed = {check["id"] for check in notebook["checks"] if check["state"] == "failed"}
    unjudged = {check["id"] for check in notebook["checks"] if check["state"] == "inconclusive"}
    assert failed == OPEN["00-start"] - unjudged
