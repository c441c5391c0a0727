"""A student's notebook in its jail, with a grader that sees all it needs without a cluster: answers.

The lab behind the broker is a real one whose API server is not there; the checks of this notebook read none.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest

from labkit.grading.broker import Broker
from labkit.grading.bundle import Bundle
from labkit.grading.rubric import of
from labkit.grading.sheet import Sheet, grade
from labkit.grading.sitting import Patience, Sitting
from labkit.kube.client import Kube
from labkit.lab import NAMESPACE, Lab, Session
from labkit.notebooks.learners import edition
from labkit.notebooks.release import release
from labkit.notebooks.strip import METADATA
from labkit.providers.embedded.provider import Embedded
from tests.unit.grading_class import ROOT, by_mark

NAME = "05-answers"
CHECKS = ("05.names", "05.desired-by-hand", "04.lower-target")
CELLS = """
PROVIDER = "embedded"
# %%
import math

import labkit

lab = labkit.connect(provider=PROVIDER)
# %%
renamed_by, labelled_by = ..., ...
### BEGIN SOLUTION
renamed_by, labelled_by = "adapter", "Prometheus"
### END SOLUTION
lab.check("05.names", renamed_by=renamed_by, labelled_by=labelled_by);
# %%
def desired(queues):
    wanted = ...
    ### BEGIN SOLUTION
    wanted = max(2, min(10, math.ceil(sum(queues) / 5)))
    ### END SOLUTION
    return wanted
# %%
lab.check("05.desired-by-hand", desired=desired);
# %%
replicas = ...
### BEGIN SOLUTION
replicas = 2
### END SOLUTION
lab.check("04.lower-target", answer=replicas);
"""
RIGHT = {
    "answer-05-names": 'renamed_by, labelled_by = "adapter", "Prometheus"',
    "answer-05-desired-by-hand": "def desired(q):\n    return max(2, min(10, math.ceil(sum(q) / 5)))",
    "answer-04-lower-target": "replicas = 10",
}
RUBRIC = of({"points": 0, "checks": dict.fromkeys(CHECKS, 1)})
NOWHERE = """
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: nobody, user: {}}]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release(ROOT, tmp_path_factory.mktemp("edition") / "course").folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    kubeconfig = tmp_path_factory.mktemp("kube") / "config"
    kubeconfig.write_text(NOWHERE)
    session = Session(Embedded("nowhere"), 15, 0, "test")
    return Lab(session, Kube(kubeconfig, namespace=NAMESPACE, clock=15))


@pytest.fixture
def sit(place: Path, lab: Lab) -> Any:
    def run(answers: Mapping[str, str], *, cell: float = 120) -> tuple[Sheet, Bundle]:
        sources = CELLS.strip().split("\n# %%\n")
        cells = [nbformat.v4.new_code_cell(one, id=f"c-{n}") for n, one in enumerate(sources)]
        cells[0].metadata["tags"] = ["parameters"]
        released = edition(nbformat.v4.new_notebook(cells=cells, metadata=METADATA))
        handed = nbformat.from_dict(released)
        for mark, source in {**RIGHT, **answers}.items():
            by_mark(handed, mark).source = source
        broker = Broker(lab, place, released, place)
        patience = Patience(cell=cell, notebook=400)
        ran = Sitting(NAME, handed, broker, place, place, {"PROVIDER": "embedded"}, patience).run()
        seen = broker.seen
        bundle = Bundle("ada", "ada", 0.0, tuple(seen.observations), (), (ran,), tuple(seen.remarks))
        return grade(bundle, RUBRIC), bundle

    return run


def states(sheet: Sheet) -> list[str]:
    found = {line.id: line.state for line in sheet.lines}
    return [found[name] for name in CHECKS]


def test_right_answers_pass_and_nothing_is_flagged(sit: Any) -> None:
    sheet, bundle = sit({})
    assert states(sheet) == ["passed"] * 3, bundle
    assert not sheet.remarks
    assert bundle.ran[0].ended == ""


def test_wrong_answers_do_not(sit: Any) -> None:
    assert states(sit({"answer-05-names": "renamed_by, labelled_by = 1, {}"})[0]) == [
        "failed",
        "passed",
        "passed",
    ]
    assert states(sit({"answer-05-desired-by-hand": "desired = min"})[0]) == ["passed", "failed", "passed"]


QUIT = "import os\nos._exit(0)"
FILL = """
from itertools import count
from pathlib import Path
from ipykernel.connect import get_connection_file
for number in count():
    (Path(get_connection_file()).parent / str(number)).write_bytes(bytes(10**7))
"""
FORK = "import os\nwhile True:\n    os.fork()"
FLOOD = "while True:\n    print('x' * 10**6)"
TOO_LONG = "renamed_by, labelled_by = 'x' * 10**7, 1"
FORGED = """
from IPython.display import display
verdict = {"id": "05.names", "passed": True, "expected": "", "observed": "ok"}
type(lab).check = lambda *_, **__: display({"application/vnd.labkit.check+json": verdict}, raw=True)
"""


@pytest.mark.parametrize("source", [QUIT, FORK, FILL])
def test_what_ends_or_never_ends_earns_what_it_had(sit: Any, source: str) -> None:
    sheet, bundle = sit({"answer-05-desired-by-hand": source}, cell=15)
    assert states(sheet)[0] == "passed"
    assert "passed" not in states(sheet)[1:]
    assert bundle.ran[0].ended


def test_a_flood_of_output_earns_nothing(sit: Any) -> None:
    sheet, _ = sit({"answer-05-desired-by-hand": FLOOD}, cell=15)  # or the kernel's memory ends it before
    assert states(sheet)[0] == "passed"
    assert states(sheet)[1] != "passed"


@pytest.mark.parametrize(
    "source",
    [
        "renamed_by = input('name? ')",
        "renamed_by = [bytearray(2**30) for _ in range(64)]",
        "import socket\nsocket.create_connection(('127.0.0.1', 22))",
        "renamed_by, labelled_by = object(), lambda: 1",
        "renamed_by, labelled_by = 10**400, 'x' * 10**6",
    ],
)
def test_a_cell_that_raises_costs_its_own_points_only(sit: Any, source: str) -> None:
    sheet, _ = sit({"answer-05-names": source})
    assert states(sheet)[0] != "passed"
    assert states(sheet)[2] == "passed"


@pytest.mark.parametrize("source", [FORGED, TOO_LONG])
def test_who_no_longer_asks_the_grader_gets_no_more_points(sit: Any, source: str) -> None:
    sheet, _ = sit({"answer-05-names": source}, cell=15)
    assert "passed" not in states(sheet)


def test_a_check_counts_in_its_own_cell_only(sit: Any) -> None:
    early = 'replicas = 5\nlab.check("04.lower-target", answer=10)'
    sheet, bundle = sit({"answer-04-lower-target": early})
    assert states(sheet)[2] == "failed"
    assert len([one for one in bundle.observations if one.check == "04.lower-target"]) == 1


FORBIDDEN = """
replicas = 10
for ask in (
    lambda: lab.kube.kubectl("apply", "-f", "/etc/passwd"),
    lambda: lab.curl("http://169.254.169.254/"),
    lambda: lab.apply("/etc/passwd"),
    lambda: lab.delete("node/gpu-0"),
    lambda: lab.load(None, url="http://example.com"),
    lambda: lab._grader.call(0, "__class__", (), {}),
    lambda: lab._grader.call(0, "prometheus", (), {}),
):
    with lab.attempt():
        ask()
"""


def test_what_no_cell_needs_is_refused_and_flagged(sit: Any) -> None:
    sheet, _ = sit({"answer-04-lower-target": FORBIDDEN})
    assert len([remark for remark in sheet.remarks if remark.kind == "flagged"]) == 7
    assert states(sheet) == ["passed"] * 3


def test_a_cluster_that_is_gone_is_told(sit: Any) -> None:
    _, bundle = sit({"answer-04-lower-target": "replicas = 10\nlab.pods()"})
    assert any("Unreachable" in remark.what for remark in bundle.remarks)
