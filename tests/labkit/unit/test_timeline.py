"""Series by name: a misspelt one is refused, one of which nothing was recorded is empty."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import BadInput
from labkit.evidence import Series, Timeline
from labkit.evidence.load_series import load_series
from labkit.evidence.recorder import Recorder
from labkit.evidence.timeline import NAMES
from labkit.kube.client import Kube
from labkit.notebooks.strip import read
from labkit.view.prediction import predict
from labkit_grading.judging.proofs import IN_FLIGHT
from tests.course.examples.production import requests
from tests.grading.unit.grading_class import ROOT
from tests.grading.unit.grading_jailed import NOWHERE

RUN = Timeline(15, "test", (Series("desired", "replicas", ((0, 2), (60, 6))), Series("mine", "")))
FROM_PROMETHEUS = {"gateway queue", "queue", "gpu"}
ASKS = {"one", "of", "total"}


@pytest.mark.parametrize("ask", sorted(ASKS))
def test_a_misspelt_series_is_refused_with_the_nearest(ask: str) -> None:
    with pytest.raises(BadInput, match="no series called 'desried'") as refused:
        getattr(RUN, ask)("desried")
    assert refused.value.cause == "Recorded here: desired, mine."
    assert refused.value.fix.startswith("Did you mean 'desired'? Names: desired, mine, ready, ")


def test_what_resembles_no_series_is_refused_without_a_guess() -> None:
    with pytest.raises(BadInput, match="no series called 'replicas'") as refused:
        Timeline(15, "test").one("replicas")
    assert refused.value.cause == "Recorded here: none."
    assert refused.value.fix == f"Names: {', '.join(NAMES)}."


@pytest.mark.parametrize("name", [*NAMES, "mine"])
def test_a_known_series_without_samples_is_empty(name: str) -> None:
    bare = RUN if name == "mine" else Timeline(15, "test")
    assert bare.one(name).points == bare.total(name).points == ()
    assert bare.since(10).one(name).points == ()


def test_all_that_labkit_records_has_a_name_that_is_known(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(NOWHERE)
    kube = Kube(tmp_path / "config", namespace="llm-lab", clock=15)
    recorded = Recorder(kube, deployment="web", hpa="web", stamp="test").timeline()
    made = (*recorded.series, *load_series(requests(), shift=0.0), predict("Replicas?", ...).curve)
    assert {one.name for one in made} | FROM_PROMETHEUS | {IN_FLIGHT} == set(NAMES)


def asked(source: str) -> Iterator[str]:
    """The names of series that code asks a recording for."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ASKS:
            yield from (str(arg.value) for arg in node.args if isinstance(arg, ast.Constant))


@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
def test_each_series_that_a_notebook_asks_for_is_one(path: Path) -> None:
    cells = [cell.source for cell in read(path).cells if cell.cell_type == "code"]
    assert {name for source in cells for name in asked(source)} <= set(NAMES)


def test_each_series_that_labkit_asks_for_is_one() -> None:
    paths = [path for house in ("labkit", "notebooks/course") for path in ROOT.glob(f"{house}/**/*.py")]
    names = {name for path in paths for name in asked(path.read_text())}
    assert {"desired", "queue"} <= names <= set(NAMES)
