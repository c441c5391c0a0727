"""papermill runs every notebook on a real lab with its exercises untouched: exactly their checks fail."""

from pathlib import Path

import pytest

from course.untouched import OPEN
from tests.notebooks.test_notebooks import NOTEBOOKS, run

pytestmark = pytest.mark.notebooks

LONG = {"06-tuning", "07-cold-starts", "09-placement", "10-production", "11-keda", "12-gateway"}
"""Notebooks that take a cluster for three minutes and more: CI runs them once, with solutions."""

LONG_LAST = [pytest.param(path, marks=pytest.mark.long if path.stem in LONG else ()) for path in NOTEBOOKS]


@pytest.mark.parametrize("path", LONG_LAST, ids=lambda path: path.stem)
def test_untouched_exercises_fail_exactly_their_checks(path: Path, tmp_path: Path) -> None:
    record = run(path, "exercises", tmp_path)
    assert not record.error
    failed = {v.id for v in record.verdicts if v.state == "failed"}
    unjudged = {v.id for v in record.verdicts if v.state == "inconclusive"}  # never a wrong answer
    assert failed - OPEN[path.stem] == set()
    assert OPEN[path.stem] - unjudged <= failed
