"""papermill runs the notebooks on kind, with simulated GPUs: the same cells, the same checks."""

from pathlib import Path
from typing import Any

import pytest

from localcluster.kind.provider import Kind
from tests.notebooks.test_notebooks import NOTEBOOKS, run

CORE = "06"
"""Those before it run in CI, too; from here on they take five minutes each."""


def chosen(path: Path) -> Any:
    marks = [pytest.mark.long] if path.stem >= CORE else []
    return pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", [chosen(path) for path in NOTEBOOKS])
def test_green_on_kind_too(cluster: Kind, path: Path, tmp_path: Path) -> None:
    record = run(path, "solutions", tmp_path, provider=cluster.name)
    assert not record.error
    assert [v for v in record.verdicts if not v.passed] == []
