"""What decides a verdict is the course's to set: how large a load is, and which recording a check is handed.

A notebook of one answer and two loads, on the course's own model server. Whoever changes what its cells ask
for, in whatever way, earns nothing with it; whoever only adds a load of their own is not flagged.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from labkit.kube.client import Kube
from labkit.lab import NAMESPACE, Lab, Session
from labkit.notebooks.strip import METADATA
from labkit_grading.judging.bundle import Bundle, load, store
from labkit_grading.judging.rubric import of
from labkit_grading.judging.seal import key
from labkit_grading.judging.sheet import Sheet, grade
from labkit_grading.kernel.handover import HandOver
from labkit_grading.release.learners import edition
from labkit_grading.release.release import release
from labkit_grading.sitting import Patience, Sitting
from labkit_grading.verbs.broker import Broker
from localcluster.kind.provider import Kind
from tests.grading.unit.grading_class import ROOT
from tests.grading.unit.grading_jailed import NOWHERE
from tests.labkit.unit.load_target import model_server

CHECK, ANSWER = "05.no-failures", "04.lower-target"
RUBRIC = of({"points": 0, "checks": {CHECK: 1, ANSWER: 1}})
CELLS = """
PROVIDER, SERVER, SEED = "kind", "", 0
# %%
import labkit
from labkit.load import Closed, Open, Workload, arrivals

lab = labkit.connect(provider=PROVIDER)
# %%
crowd = arrivals.steps([(0, 0.2), (15, 2)], seconds=30, seed=SEED)
short = Workload(output=5)
easy = lab.load(Open(arrivals.even(rate=0.2, seconds=6)), url=SERVER, workload=short).wait()
# %%
replicas = ...
### BEGIN SOLUTION
replicas = 10
### END SOLUTION
lab.check("04.lower-target", answer=replicas);
# %%
users = lab.load(Open(crowd), url=SERVER, workload=short)
# %%
run = users.wait()
# %%
lab.check("05.no-failures", load=run);
"""
ONE = "Open(arrivals.even(rate=1, seconds=1.5))"
HONEST = {
    "as it is": "",
    "with a load of one's own": f"mine = lab.load({ONE}, url=SERVER, workload=short).wait()",
    "with a course's load looked at": "again = len(easy.rows), easy.failures()",
}
ATTACKS = {
    "other arrivals": """
few, made = arrivals.even(rate=1, seconds=1.5), Open
Open = lambda _: made(few)""",
    "another crowd": "crowd = arrivals.even(rate=1, seconds=1.5)",
    "fewer of the same": """
import dataclasses
crowd = dataclasses.replace(crowd, times=crowd.times[:2])""",
    "another shape": "made = Open\nOpen = lambda _: Closed(users=1, seconds=3)",
    "smaller requests": "short = Workload(input=1, output=1)",
    "another verb": f"""
sends = type(lab).__getattr__
def send(self, name):
    if name != "load":
        return sends(self, name)
    return lambda shape, **words: self._grader.call(0, "load", ({ONE},), words)
type(lab).__getattr__ = send""",
    "more than one asks for": f"""
import IPython
def first(*_):
    global once
    if "once" not in globals():
        once = lab.load({ONE}, url=SERVER, workload=short)
def hook(info):
    if "users = lab.load" in info.raw_cell:
        first()
IPython.get_ipython().events.register("pre_run_cell", hook)
ask = type(lab).__getattr__
type(lab).__getattr__ = lambda self, name: (
    (lambda *_, **__: once) if name == "load" and "once" in globals() else ask(self, name))""",
    "the recording of before": """
checks = type(lab).check
def check(self, name, **given):
    return checks(self, name, **{key: easy if key == "load" else one for key, one in given.items()})
type(lab).check = check""",
    "one's own recording": f"""
mine = lab.load({ONE}, url=SERVER, workload=short).wait()
checks = type(lab).check
def check(self, name, **given):
    return checks(self, name, **{{key: mine if key == "load" else one for key, one in given.items()}})
type(lab).check = check""",
    "no load at all": """
class Old:
    def wait(self):
        return easy
asks = type(lab).__getattr__
def ask(self, name):
    return (lambda *_, **__: Old()) if name == "load" else asks(self, name)
type(lab).__getattr__ = ask""",
}

OFTEN = {
    "other arrivals",
    "another verb",
    "more than one asks for",
    "the recording of before",
    "no load at all",
}
EACH = [
    pytest.param(work, id=name, marks=[] if name in OFTEN else [pytest.mark.long])
    for name, work in ATTACKS.items()
]


def released() -> Any:
    cells = [
        nbformat.v4.new_code_cell(one, id=f"c-{n}") for n, one in enumerate(CELLS.strip().split("\n# %%\n"))
    ]
    cells[0].metadata["tags"] = ["parameters"]
    return edition(nbformat.v4.new_notebook(cells=cells, metadata=METADATA))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with model_server(tmp_path_factory.mktemp("server"), clock=15) as url:
        yield url


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release(ROOT, tmp_path_factory.mktemp("released") / "course").folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    kubeconfig = tmp_path_factory.mktemp("lab") / "kubeconfig"
    kubeconfig.write_text(NOWHERE)
    return Lab(Session(Kind("nowhere"), 15, 0, "test"), Kube(kubeconfig, namespace=NAMESPACE, clock=15))


def sit(lab: Lab, course: Path, server: str, work: str) -> tuple[Sheet, Bundle]:
    """Run the notebook of a student whose answer is right, with `work` before it."""
    made = released()
    handed = nbformat.from_dict(made)
    [answer] = [cell for cell in handed.cells if cell.source.startswith("replicas = ...")]
    answer.source = f"{work}\nreplicas = 10"
    broker = Broker(lab, course, HandOver(made), course)
    broker._confined.addresses.add(server)
    given = {"SERVER": server}
    ran = Sitting("05-sizes", handed, broker, course, course, given, Patience(cell=60, notebook=200)).run()
    seen = tuple(broker.seen.observations)
    bundle = Bundle("eve", "eve", 0.0, seen, (), (ran,), tuple(broker.seen.remarks))
    return grade(bundle, RUBRIC), bundle


@pytest.mark.parametrize("work", HONEST.values(), ids=HONEST)
def test_who_runs_the_courses_load_has_its_points(lab: Lab, course: Path, server: str, work: str) -> None:
    sheet, bundle = sit(lab, course, server, work)
    found = {line.id: line.state for line in sheet.lines if line.points}
    assert found == {CHECK: "passed", ANSWER: "passed"}, bundle
    assert not sheet.flagged


@pytest.mark.parametrize("work", EACH)
def test_another_load_or_recording_earns_nothing_and_is_flagged(
    lab: Lab, course: Path, server: str, work: str, tmp_path: Path
) -> None:
    sheet, bundle = sit(lab, course, server, work)
    [line] = [one for one in sheet.lines if one.id == CHECK]
    assert (line.state, line.points) == ("forged", 0), bundle
    assert "not the course's" in line.note
    assert sheet.flagged
    mine = key(tmp_path / "key.pem")
    assert grade(load(store(bundle.pack(), tmp_path / "a.evidence", mine), mine), RUBRIC) == sheet


def test_who_shadows_a_name_by_mistake_gets_nothing_for_it_and_no_flag(
    lab: Lab, course: Path, server: str
) -> None:
    sheet, bundle = sit(lab, course, server, "crowd = 3")
    assert {line.id for line in sheet.lines if line.points} == {ANSWER}, bundle
    assert not sheet.flagged
