"""A learner works through a notebook in a browser, meets the verdicts of papermill, and can read them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from labkit import checks
from labkit.notebooks import record
from labkit.notebooks.answers import BEGIN
from labkit.notebooks.strip import read
from tests.browser import looks
from tests.browser.learner import DRAWN, Learner

ROOT = Path(__file__).parents[2]
OUT = Path(os.environ.get("LABKIT_OUT", ROOT / "out")) / "browser"
"""Where the pictures go that people look at."""

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Worked:
    """A notebook that a learner has worked through, still open in the browser."""

    learner: Learner
    name: str
    home: Path
    """Where JupyterLab keeps this learner's settings."""

    @property
    def path(self) -> str:
        return f"notebooks/{self.name}.ipynb"


@pytest.fixture(scope="module", params=["00-start", "05-hpa-queue"])
def worked(request: pytest.FixtureRequest, browser: Browser, address: str, clone: Path) -> Iterator[Worked]:
    """Everything that a learner who knows the answers does, from the page that `make jupyter` opens."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(60_000)
    done = Worked(Learner(page, clone / "learn"), request.param, clone.parent / "jupyter")
    done.learner.arrive(address)
    assert {"notebooks", "manifests", "README.md"} <= done.learner.listed()
    for path, text in files(done.name).items():
        done.learner.write_file(path, text)
    done.learner.open(done.path)
    done.learner.write_cells(done.path, answers(done.path))
    done.learner.restart_and_run_all(done.path)
    yield done
    page.close()
    (done.home / DRAWN).unlink(missing_ok=True)


def answers(notebook: str) -> dict[str, str]:
    """Cell → what a learner who knows the answer writes into it."""
    cells = read(ROOT / notebook).cells
    return {cell.id: _typed(cell.source) for cell in cells if BEGIN in cell.source}


def _typed(source: str) -> str:
    own = source.split("\nlab.check(", maxsplit=1)[0].splitlines()
    return "\n".join(line for line in own if not line.strip().startswith("### "))


def files(folder: str) -> dict[str, str]:
    """Exercise file → what stands in the solution of it."""
    solutions = ROOT.glob(f"manifests/{folder}/solutions/**/*.yaml")
    return {
        str(path.relative_to(ROOT)).replace("/solutions/", "/exercises/"): path.read_text()
        for path in solutions
    }


def test_it_meets_the_verdicts_of_papermill(worked: Worked) -> None:
    found = record.of(worked.learner.course / worked.path, seconds=0)
    assert not found.error
    assert [verdict for verdict in found.verdicts if not verdict.passed] == []
    # As papermill does with solutions: tests/notebooks holds that.
    assert {verdict.id for verdict in found.verdicts} == {
        check.id for check in checks.CHECKS.values() if check.notebook == worked.name[:2]
    }


@pytest.mark.parametrize("look", looks.LOOKS, ids=str)
def test_it_can_be_read(worked: Worked, look: looks.Look) -> None:
    page = worked.learner.page
    worked.learner.unroll(worked.home)
    worked.learner.dress(look.theme)
    worked.learner.see_all(worked.path, width=look.width, height=looks.TALL)
    assert list(looks.sheets(page, OUT, f"{worked.name}-{look}"))
    assert looks.unseen(page) == []
    assert looks.faults(page) == []
