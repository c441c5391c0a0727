"""papermill runs the notebooks on kind, with simulated GPUs: the same cells, the same checks."""

from pathlib import Path

import pytest

from localcluster.kind.provider import Kind
from tests.notebooks.test_notebooks import NOTEBOOKS, run

CORE = [path for path in NOTEBOOKS if path.stem < "06"]
"""What needs the control plane and kubelets alone; the others use what only the embedded node has."""


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_green_on_kind_too(cluster: Kind, path: Path, tmp_path: Path) -> None:
    record = run(path, "solutions", tmp_path, provider=cluster.name)
    assert not record.error
    assert [v for v in record.verdicts if not v.passed] == []
