"""How often a graded check looks at a cluster does not depend on what is right."""

import pytest

from labkit import checks
from labkit.lab import Lab
from labkit_grading.verbs.hearing import STILL, distinct, looks

pytestmark = pytest.mark.embedded
POD, CUP = "manifests/00-start/solutions/one-gpu.yaml", "manifests/00-start/solutions/coffee.yaml"


@pytest.mark.parametrize(
    ("name", "file", "state", "verdict"),
    [
        ("00.mended", POD, "pods ready=1", "passed"),
        ("00.mended", "", "pods total=0", "failed"),
        ("00.coffee", CUP, "pods pending=1", "failed"),  # no node has any
    ],
)
def test_what_is_still_is_looked_at_as_often_right_or_wrong(
    lab: Lab, name: str, file: str, state: str, verdict: str
) -> None:
    check = checks.get(name)
    lab.reset()  # which brings the course's images
    if file:
        lab.kube.apply(file)
    lab.kube.until(state, seconds=60)
    looks(lab.kube, check)  # until its status has been written for the last time
    seen = looks(lab.kube, check)
    assert len(seen) == STILL
    [last] = distinct(seen)
    assert check.run(last).state == verdict
