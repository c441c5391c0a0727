"""A class is graded on real kubelets: the same verdicts, the audit log as witness, and nothing is left."""

from pathlib import Path

import pytest

from labkit.kube import Kube, namespaces
from labkit.lab import NAMESPACE
from labkit_grading.judging.rubric import of
from labkit_grading.judging.sheet import grade
from labkit_grading.sites.claim import GRADING
from labkit_grading.sites.site import Site
from labkit_grading.sitting import Patience
from localcluster.kind.provider import Kind
from tests.attacks import ANSWERS, CLUSTERED, HandIn
from tests.grading.live.grading_quiz import CHECKS, WHOLE, Quiz, grade_class

pytestmark = pytest.mark.long

PATIENT = Quiz(
    WHOLE.name,
    tuple(one.replace("seconds=15", "seconds=90") for one in WHOLE.sources),
    CHECKS,
    Patience(cell=240, notebook=600),
)
"""Containers of real kubelets take their time to start."""
RUBRIC = of({"notebooks": ["05"], "points": 0, "checks": dict.fromkeys(CHECKS, 1)})
CLASS = {"ada": HandIn(ANSWERS, CHECKS), "by-hand": CLUSTERED["scale-by-hand"]}


def test_a_class_is_a_guest_on_kind(cluster: Kind, tmp_path: Path) -> None:
    for name, one in CLASS.items():
        one.write(tmp_path / "class" / name, PATIENT.name, PATIENT.released)
    bundles = grade_class(tmp_path, PATIENT, at=Site.chosen("kind"))
    sheets = {name: grade(bundle, RUBRIC) for name, bundle in bundles.items()}
    earned = {name: {one.id for one in sheet.lines if one.points} for name, sheet in sheets.items()}
    assert earned["ada"] == set(CHECKS), sheets["ada"]
    assert not sheets["ada"].flagged, sheets["ada"].remarks
    assert earned["by-hand"] <= set(CLASS["by-hand"].earns)
    assert sheets["by-hand"].flagged
    kube = Kube(cluster.kubeconfig(), namespace=NAMESPACE)
    assert kube.objects("pods") == kube.objects("resourcequotas") == kube.objects("roles") == []
    there = namespaces.find(kube.api, GRADING)
    assert there is None or there.at("status.phase") == "Terminating"
