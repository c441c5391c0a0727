"""A class is graded on a real cluster: whoever did the work has its points, and no attack earns any."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.grading.bundle import Bundle
from labkit.grading.intake import take_in
from labkit.grading.room import Room, environment, furnish
from labkit.grading.rubric import of
from labkit.grading.run import run
from labkit.grading.seal import key
from labkit.grading.sheet import Sheet, grade
from labkit.grading.sitting import Patience
from tests.embedded.grading_quiz import ANSWERS, CHECKS, NAME, RIGHT, ROOT, assignment, hand_in

pytestmark = pytest.mark.long

RUBRIC = of({"notebooks": ["05"], "points": 0, "checks": dict.fromkeys(CHECKS, 1)})

FORGED = """
from labkit.evidence import Event, Series, Timeline
class Mine:
    def stop(self, load=None, **_):
        up = ((0, 2), (20, 6), (40, 10))
        return Timeline(15, "forged", (Series("desired", "", up), Series("ready", "", up)), (Event(5, "x"),))
seen = Mine()
trick = None
"""
SCALE = 'trick = lab.scale("deployment/llm-inference-service", replicas=8)'
QUIT = "import os\nos._exit(0)"
ALL_GPUS = b"""
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: eater}
spec:
  replicas: 12
  selector: {matchLabels: {app: eater}}
  template:
    metadata: {labels: {app: eater}}
    spec:
      containers:
        - name: eater
          image: registry.lab:5000/llm-inference:1.0
          resources: {limits: {nvidia.com/gpu: 1}}
"""
ATTACKS: dict[str, tuple[dict[str, str], bytes | None]] = {
    "eater": ({}, RIGHT + ALL_GPUS),
    "forger": ({"answer-05-scale-out": FORGED}, RIGHT),
    "poser": ({"answer-05-scale-out": SCALE}, None),
    "quitter": ({"answer-05-desired-by-hand": QUIT}, RIGHT),
}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    place = tmp_path_factory.mktemp("g")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(place / "report").items():
            patch.setenv(name, value)
        made = furnish(ROOT, place / "report", key(place / "key.pem"), rubric=None, notebooks=[NAME])
        yield Room(made.edition, made.report, made.key, made.provider, Patience(cell=40, notebook=120))


@pytest.fixture(scope="module")
def submissions(room: Room) -> Path:
    place = room.report.parent / "class"
    hand_in(place / "ada", ANSWERS)
    hand_in(place / "empty", {}, hpa=None)
    for name, (answers, hpa) in ATTACKS.items():
        hand_in(place / name, {**ANSWERS, **answers}, hpa=hpa)
    hand_in(place / "zoe", ANSWERS)  # after all of them
    return place


@pytest.fixture(scope="module")
def bundles(room: Room, submissions: Path) -> dict[str, Bundle]:
    found = run(room, take_in(submissions), assignment(), tell=print)
    return {bundle.student: bundle for bundle in found}


@pytest.fixture(scope="module")
def sheets(bundles: dict[str, Bundle]) -> dict[str, Sheet]:
    return {name: grade(bundle, RUBRIC) for name, bundle in bundles.items()}


def states(sheet: Sheet) -> dict[str, str]:
    return {line.id: line.state for line in sheet.lines if line.id in CHECKS}


@pytest.mark.parametrize("name", ["ada", "zoe"])
def test_whoever_did_the_work_has_all_points(sheets: dict[str, Sheet], name: str) -> None:
    assert states(sheets[name]) == dict.fromkeys(CHECKS, "passed")
    assert not sheets[name].flagged


def test_an_untouched_submission_has_none(sheets: dict[str, Sheet]) -> None:
    assert set(states(sheets["empty"]).values()) == {"failed"}


def test_scaling_by_hand_is_no_hpa(sheets: dict[str, Sheet]) -> None:
    assert states(sheets["poser"])["05.scale-out"] == "forged"
    assert sheets["poser"].flagged


def test_a_process_that_ends_itself_gets_what_it_had(sheets: dict[str, Sheet]) -> None:
    assert states(sheets["quitter"])["05.names"] == "passed"
    assert states(sheets["quitter"])["05.steps"] == "not reached"
    assert sheets["quitter"].flagged


def test_a_recording_of_ones_own_making_weighs_nothing(sheets: dict[str, Sheet]) -> None:
    line = next(one for one in sheets["forger"].lines if one.id == "05.scale-out")
    assert line.state in {"forged", "self-reported"}
    assert line.points == 0
    assert sheets["forger"].flagged


def test_whoever_takes_all_gpus_takes_them_from_nobody_else(sheets: dict[str, Sheet]) -> None:
    assert states(sheets["eater"])["05.scale-out"] != "passed"
    assert states(sheets["zoe"])["05.scale-out"] == "passed"


def test_a_run_that_is_repeated_runs_nobody_again(
    room: Room, submissions: Path, bundles: dict[str, Bundle]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (room.report / "evidence").iterdir()}
    again = {one.student: one for one in run(room, take_in(submissions), assignment(), tell=pytest.fail)}
    assert again == bundles
    assert {path: path.stat().st_mtime_ns for path in (room.report / "evidence").iterdir()} == before
