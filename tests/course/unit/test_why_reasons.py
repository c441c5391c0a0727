"""Every reason that the pinned Kubernetes' HPA controller can give has a meaning here."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from course.why import reasons
from localcluster.toolchain.golang import Go
from localcluster.toolchain.versions import kubernetes

SET = re.compile(r'setCondition\(\s*\w+, autoscalingv2\.\w+, v1\.Condition\w+, (?:"(\w+)"|(\w+))')
EVENT = re.compile(r'eventRecorder\.Eventf?\(\s*\w+, v1\.EventType\w+, (?:"(\w+)"|(\w+))')
UNABLE = re.compile(r'getUnableComputeReplicaCountCondition\(\w+, "(\w+)"')
RETURNED = re.compile(
    r'(?:\breason|possibleLimiting\w+) = "([A-Z]\w+)"|return \w+(?:\.\w+)?, "([A-Z]\w+)", "'
)


@pytest.fixture(scope="module")
def source() -> str:
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no Go here, so no sources of Kubernetes")
    modules, _ = Go(Path(go)).folders()
    file = modules / f"k8s.io/kubernetes@v{kubernetes()}/pkg/controller/podautoscaler/horizontal.go"
    if not file.is_file():
        pytest.skip(f"the programs were not built here: {file} is missing")
    return file.read_text()


def words(pattern: re.Pattern[str], text: str) -> set[str]:
    return {
        word for found in pattern.findall(text) for word in ([found] if isinstance(found, str) else found)
    } - {""}


def test_every_condition_reason_has_a_meaning(source: str) -> None:
    literal = {found[0] for found in SET.findall(source)} - {""}
    variables = {found[1] for found in SET.findall(source)} - {""}
    assert variables <= {"reason"}, "a new variable holds reasons: read where its values come from"
    found = literal | words(UNABLE, source) | words(RETURNED, source)
    assert len(found) > 20
    assert found == set(reasons.CONDITIONS)


def test_every_event_reason_has_a_meaning(source: str) -> None:
    literal = {found[0] for found in EVENT.findall(source)} - {""}
    found = literal | words(UNABLE, source)
    assert found == set(reasons.EVENTS)
