"""What the README says of the course is so: its tables are generated, each row of the lesson is taught."""

import sys
from pathlib import Path

import pytest

from course import lesson
from labkit import checks
from localcluster import spawn

ROOT = Path(__file__).parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]-*.ipynb"))


def test_the_tables_are_those_that_the_commands_print() -> None:
    done = spawn.run([sys.executable, ROOT / "scripts" / "readme", "--check"], cwd=ROOT, seconds=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("row", lesson.ROWS)
def test_a_row_of_the_lesson_is_taught_and_checked(row: int) -> None:
    held = lesson.checks_of(row, checks.CHECKS.values())
    assert held
    taught = {path.stem[:2] for path in NOTEBOOKS}
    assert {check.notebook for check in held} <= taught


def test_there_are_checks_enough() -> None:
    kinds = {check.kind for check in checks.CHECKS.values()}
    assert len(checks.CHECKS) >= 60
    assert kinds == {"state", "behaviour", "understanding"}
