"""The lesson, row by row: which checks hold the learner to it."""

import pytest

from course import lesson
from labkit import checks
from labkit.checks.check import Check, Finding


@pytest.mark.parametrize("check", checks.CHECKS.values(), ids=lambda c: c.id)
def test_a_check_names_rows_that_there_are(check: Check) -> None:
    assert set(check.rows) <= set(lesson.ROWS)


def test_the_table_names_notebooks_and_checks_in_order() -> None:
    made = [Check(name, "x", "x", lambda: Finding(True, ""), rows=(4,)) for name in ("00.a", "00.b", "08.c")]
    [row] = [line for line in lesson.table(made).splitlines() if line.startswith("| 4 |")]
    assert row.endswith("| 00, 08 | `00.a`, `00.b`, `08.c` |")
