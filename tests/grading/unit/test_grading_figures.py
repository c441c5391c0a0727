"""A figure of what was recorded is the grader's own where the recordings are: nobody's word is needed."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from course.hpa import what_if
from course.hpa.setting import policy_of
from labkit import checks
from labkit.errors import BadInput, Unreachable
from labkit.evidence.cold_start import ColdStart
from labkit.evidence.states import Span
from labkit.kube.client import Kube
from labkit.lab import NAMESPACE, Lab, Session
from labkit.load import Open, arrivals
from labkit.metrics.series import Rows, Sample
from labkit_grading.judging.bundle import Argument, Observation, figured
from labkit_grading.judging.sources import Source
from labkit_grading.kernel.handing import REPLY
from labkit_grading.kernel.handover import HandOver
from labkit_grading.kernel.inside import Grader, Recorded, RemoteLab
from labkit_grading.submissions.released import assignment
from labkit_grading.verbs.broker import Broker
from labkit_grading.verbs.confined import Confined
from labkit_grading.verbs.table import allowed
from localcluster.embedded.provider import Embedded
from tests.course.examples.tuning import modelled
from tests.grading.unit.grading_class import ROOT
from tests.grading.unit.grading_jailed import NOWHERE

GRADER = ROOT / "grading" / "labkit_grading"
RUNS_TEXT = {"__import__", "compile", "eval", "exec"}
COURSES_OWN = GRADER / "verbs" / "expected.py"
"""Runs the cells of the released notebook, which are the grader's as its code is; never a student's."""
LESSON = "manifests/base/hpa.yaml"
CROWD = Open(arrivals.poisson(rate=1, seconds=60, seed=0))
PATIENCE = {"answer": 12, "period": 5}


def released(number: str) -> Any:
    [path] = ROOT.glob(f"notebooks/{number}-*.ipynb")
    return assignment(ROOT, [path]).notebooks[path.stem]


@pytest.mark.parametrize(
    "path", sorted({*GRADER.rglob("*.py")} - {COURSES_OWN}), ids=lambda path: str(path.relative_to(GRADER))
)
def test_no_module_of_the_grader_runs_a_text(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    from_builtins = {node.attr for node in nodes if isinstance(node, ast.Attribute)} & {"eval", "exec"}
    assert not (names & RUNS_TEXT) | from_builtins


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[Broker, RemoteLab]]:
    """Both sides of the wire, of notebook 07, as they talk where a student is graded."""
    (tmp_path / "config").write_text(NOWHERE)
    kube = Kube(tmp_path / "config", namespace=NAMESPACE, clock=15)
    made = Broker(
        Lab(Session(Embedded("nowhere"), 15, 0, "test"), kube), ROOT, HandOver(released("07")), ROOT
    )
    made.cell, made.check = "07-65-07-patience", "07.patience"
    close = made.listen(tmp_path / "broker.sock")
    grader = Grader(str(tmp_path / "broker.sock"))
    yield made, RemoteLab(grader, 0)
    grader.close()
    close()


def heard(grader: Broker, answer: float = 12) -> list[Observation]:
    """What the grader makes of the check, with what the answer's own cell held."""
    grader.answers.take("07-65", {REPLY: {"threshold": {"value": answer}}})
    grader._hearing.judge()
    return grader.seen.observations


def given_to_the_student(value: Any, broker: Broker, lab: RemoteLab) -> Any:
    """Something of the grader's, as the student's process has it."""
    return lab._grader._codec.decode(broker._codec.result(value))


def start_of(seconds: float) -> ColdStart:
    return ColdStart("server-1", (Span("weights", 0.0, seconds),))


def test_a_figure_off_a_recording_is_the_graders_own(broker: tuple[Broker, RemoteLab]) -> None:
    grader, lab = broker
    slow_start = given_to_the_student(start_of(60.0), *broker)
    object.__setattr__(slow_start, "phases", start_of(120.0).phases)  # whatever is made of the copy
    grader.answers.take("07-65", {REPLY: {"threshold": {"value": 24}}})
    lab.check("07.patience", **PATIENCE | {"answer": 24}, slow_start=slow_start)
    [seen] = heard(grader)
    assert not checks.get("07.patience").run(seen.evidence).passed  # it would be right for a start of 120 s
    assert seen.given["start"] == Argument(Source.RECORDED, 60.0)
    assert set(seen.given) == {"answer", "start", "period"}  # as in evidence of before
    assert not seen.self_reported


def test_a_figure_of_the_students_own_making_is_their_word(broker: tuple[Broker, RemoteLab]) -> None:
    grader, lab = broker
    lab.check("07.patience", **PATIENCE, slow_start=start_of(60.0))
    [seen] = heard(grader)
    assert seen.self_reported == ("start",)
    assert any("that it made itself" in one.what for one in grader.seen.remarks)


def test_the_figure_itself_is_not_taken_from_a_student(broker: tuple[Broker, RemoteLab]) -> None:
    grader, lab = broker
    lab.check("07.patience", **PATIENCE, start=60.0)
    assert not [one for one in heard(grader) if one.given["start"].own]


@pytest.mark.parametrize("odd", [{"v1": 5}, "60", 60.0, [1]])
def test_what_is_no_recording_is_no_evidence(broker: tuple[Broker, RemoteLab], odd: Any) -> None:
    grader, lab = broker
    counted = given_to_the_student({"usd_per_hour": 0.01}, *broker)
    for one in (odd, counted, lab):
        assert lab.check("07.patience", **PATIENCE, slow_start=one) == Recorded("07.patience")
    assert not heard(grader)


def test_recordings_of_which_one_is_not_the_graders_vouch_for_nothing() -> None:
    rows = {
        word: Rows(query, (Sample({"UUID": "GPU-0"}, 6.0, 1.0),))
        for word, query in (
            ("in_use", 'DCGM_FI_DEV_FB_USED{namespace="llm-lab"}'),
            ("unused", 'DCGM_FI_DEV_FB_FREE{namespace="llm-lab"}'),
        )
    }
    given = {name: Argument(Source.RECORDED, value, own=name == "in_use") for name, value in rows.items()}
    kept = figured(checks.get("08.waste"), {"answer": Argument(Source.ANSWER, 0.5), **given})
    assert kept["used"] == Argument(Source.RECORDED, {"GPU-0": 6.0})
    assert kept["total"] == Argument(Source.RECORDED, {"GPU-0": 12.0}, own=False)


def test_what_follows_from_the_courses_files_is_nobodys_word() -> None:
    kept = figured(checks.get("06.trace"), {"answer": Argument(Source.ANSWER, "static")})
    assert kept["shares"].own
    assert set(kept["shares"].value) == {"static", "queue", "CPU"}


def test_the_model_is_asked_by_the_grader(broker: tuple[Broker, RemoteLab]) -> None:
    _, lab = broker
    assert lab.clock == lab.kube.clock == 15
    remote: Any = lab
    for choice in (3, LESSON):
        with pytest.raises(Unreachable):  # the API server, of which the model asks nodes and server
            what_if(remote, CROWD, choice, seconds=600)
    with pytest.raises(Unreachable):
        what_if(remote, CROWD, policy_of(LESSON), seconds=600)  # of a policy: in the student's own process
    assert not broker[0].seen.remarks


def test_what_the_model_said_stays_with_the_grader(broker: tuple[Broker, RemoteLab]) -> None:
    outcome = modelled(policy_of(LESSON))
    copy = given_to_the_student(outcome, *broker)
    assert copy.gpu_seconds == outcome.gpu_seconds
    assert copy.attainment(ttft=10) == outcome.attainment(ttft=10)
    assert copy.curve.points == outcome.curve.points
    assert repr(copy) == repr(outcome)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([CROWD, "../../etc/passwd", 600], {}),
        ([CROWD, "manifests/base", 600], {}),
        ([CROWD, LESSON, 1e9], {}),
        ([CROWD, LESSON, float("nan")], {}),
        ([CROWD, 1000, 600], {}),
        ([CROWD, LESSON, 600], {"url": "http://elsewhere"}),
        ([CROWD, LESSON, 600], {"play": -1}),
        (["a crowd", LESSON, 600], {}),
    ],
)
def test_the_model_is_asked_what_a_cell_of_the_course_asks(args: list[Any], words: Mapping[str, Any]) -> None:
    with pytest.raises(BadInput):
        allowed("what_if", Confined(ROOT, ROOT), args, dict(words))
    allowed("what_if", Confined(ROOT, ROOT), [CROWD, LESSON, 600], {"play": 4, "target": 5})


def test_a_picture_comes_with_its_words(
    broker: tuple[Broker, RemoteLab], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[Any, Any]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, **words: shown.append((data, words)))
    broker[1].plot({"as it is": given_to_the_student(start_of(60.0), *broker)}, title="A start")
    [(data, words)] = shown
    assert data["text/plain"].startswith("A start")
    assert words["metadata"]["image/png"]["alt"] == data["text/plain"]
