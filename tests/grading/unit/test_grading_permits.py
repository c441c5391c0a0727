"""What a student's process may ask for: verbs, kinds of objects, paths and addresses that notebooks need."""

from pathlib import Path
from typing import Any

import pytest

from labkit.errors import BadInput
from labkit.evidence.pace import Pacing
from labkit.kube.client import Kube
from labkit.lab import Lab
from labkit_grading.verbs import permits
from labkit_grading.verbs.handles import OpenHandles
from labkit_grading.verbs.objects import permitted
from labkit_grading.verbs.permits import own_path, refuse_address, refuse_foreign
from tests.grading.unit.grading_class import ROOT
from tests.grading.unit.grading_jailed import NOWHERE


def test_every_verb_that_is_permitted_is_one_of_the_lab() -> None:
    assert not permitted(Lab, "apply")  # an object, not the class
    lab = object.__new__(Lab)
    assert [permitted(lab, name) for name in ("apply", "kube", "check")] == ["apply", "kube", "check"]
    for name in ("session", "prometheus", "copy", "predict", "__class__", "_end_load", "kube.object", ""):
        assert not permitted(lab, name)
    assert not permitted(object.__new__(Kube), "kubectl")


@pytest.mark.parametrize("given", ["/etc/passwd", "../../etc/passwd", "manifests/nothing.yaml", "\0", 5])
def test_no_path_leads_out_of_the_course(given: Any) -> None:
    with pytest.raises(BadInput):
        own_path(ROOT, given)
    assert own_path(ROOT, "manifests/base").is_dir()


@pytest.mark.parametrize(
    "text",
    [
        "kind: ClusterRoleBinding",
        "kind: APIService",
        "kind: Pod\nmetadata: {namespace: kube-system}",
        "kind: Pod\n---\nkind: Node",
        "kind: [Pod]",
        "kind: Pod\nmetadata: {annotations: {labkit.dev/address: evil}}",
        "kind: Pod\n\tspec",
    ],
)
def test_an_exercise_holds_nothing_but_what_the_course_asks_for(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(BadInput):
        refuse_foreign(tmp_path / "a.yaml", ROOT / "manifests/05-hpa-queue/exercises/hpa.yaml")


def test_an_escape_hides_no_annotation(tmp_path: Path) -> None:
    path = tmp_path / "hpa.yaml"
    path.write_text('kind: Pod\nmetadata: {annotations: {"labkit.dev\\x2faddress": "127.0.0.1:9"}}\n')
    with pytest.raises(BadInput, match=r"labkit\.dev/address can't be set by a submission"):
        refuse_foreign(path, path)


def test_every_exercise_and_solution_of_the_course_is_permitted() -> None:
    files = [*ROOT.glob("manifests/*/exercises/*.yaml"), *ROOT.glob("manifests/*/solutions/*.yaml")]
    assert files
    for path in files:
        refuse_foreign(path, path.parents[1] / "exercises" / path.name)


def test_what_outlives_a_reset_of_the_namespace_is_known(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: Pod\n---\nkind: PriorityClass\n")
    assert permits.spreading(tmp_path / "a.yaml")
    assert not permits.spreading(ROOT / "manifests/05-hpa-queue/solutions/hpa.yaml")


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "http://127.0.0.1:1234@evil/", "file:///etc/passwd", 5]
)
def test_the_grader_fetches_nothing_but_the_labs_own_addresses(url: Any) -> None:
    known = {"http://127.0.0.1:1234"}
    refuse_address("http://127.0.0.1:1234/metrics", known)
    with pytest.raises(BadInput):
        refuse_address(url, known)


def test_no_wait_is_longer_than_a_cell_may_take() -> None:
    assert permits.bounded({"seconds": 1e9}) == {"seconds": permits.LONGEST}
    assert permits.bounded({"until": 1}) == {"until": 1}


def test_nobody_begins_recordings_without_end(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(NOWHERE)
    held, kube = OpenHandles(), Kube(tmp_path / "config", namespace="llm-lab", clock=15)
    for _ in range(60):
        held.refuse_more("follow")
        held.keep(Pacing(kube, selector="app=thousand"))
    with pytest.raises(BadInput, match="60 recordings"):
        held.refuse_more("record")
    held.refuse_more("load")
    held.end()
