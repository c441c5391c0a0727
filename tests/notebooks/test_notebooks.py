"""papermill runs every notebook on a real lab: green with solutions."""

from pathlib import Path

import pytest

from labkit.notebooks import needs
from labkit.notebooks.record import Record
from labkit.notebooks.run import Plan
from labkit.notebooks.run import run as run_all
from localcluster import catalog

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.notebooks


def run(path: Path, answers: str, out: Path, *, provider: str = "embedded") -> Record:
    """As `labkit notebooks run` does it: once more where the machine was too busy for a verdict."""
    if lack := needs.lacking(path, catalog.get(provider)):
        pytest.skip(lack)
    parameters = {"PROVIDER": provider, "ANSWERS": answers, "SEED": 0, "CLOCK": 15}
    return run_all(Plan((path,), out, parameters))[0]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_green_with_solutions(path: Path, tmp_path: Path) -> None:
    record = run(path, "solutions", tmp_path)
    assert not record.error
    assert [v for v in record.verdicts if not v.passed] == []
    assert list((tmp_path / "plots").glob("*.png"))
