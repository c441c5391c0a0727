"""One student on a worker's cluster: a bounded time for all notebooks, and evidence of what was run."""

from dataclasses import replace
from pathlib import Path

import pytest

from labkit.lab import Lab
from labkit_grading.judging.bundle import Bundle, load, store
from labkit_grading.judging.seal import key
from labkit_grading.sites.site import Site
from labkit_grading.sitting import Patience
from labkit_grading.student import OUT_OF_TIME, Job, digest, examine
from labkit_grading.submissions.handed_in import HandedIn
from labkit_grading.submissions.released import Assignment
from labkit_grading.submissions.restore import Restored
from localcluster.embedded.provider import Embedded
from localcluster.layout import Ports
from localcluster.provider import Spec
from tests.grading.unit.grading_jailed import NAME, Desk, released


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk.at(tmp_path_factory.mktemp("desk"))


@pytest.fixture
def lab(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab whose servers are not there, with an empty diary."""
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "labs"))
    provider = Embedded("w1")
    provider.layout.save(Spec(), Ports(*range(6)))
    (provider.layout.dir / "audit").mkdir()
    return Lab(replace(desk.lab.session, provider=provider), desk.lab.kube)


def run(desk: Desk, lab: Lab, place: Path, patience: Patience) -> Bundle:
    notebooks = {NAME: released(), "04-more": released()}
    job = Job(Assignment(notebooks, {}), desk.edition, place / "work", patience)
    handed = HandedIn("ada", "ada", {name: Restored(one, 0, ()) for name, one in notebooks.items()}, {}, ())
    done = examine(job, lab, handed)
    assert done.fit
    mine = key(place / "key.pem")
    bundle = load(store(done.body, place / "ada.evidence", mine), mine)
    assert bundle.of == digest(handed, job.wanted, job.site)
    elsewhere = Site("kind", clock=5)
    assert bundle.of != digest(handed, job.wanted, elsewhere)
    assert not list((place / "work" / "seats").iterdir())
    return bundle


def test_every_notebook_is_run(desk: Desk, lab: Lab, tmp_path: Path) -> None:
    bundle = run(desk, lab, tmp_path, Patience())
    assert [one.ended for one in bundle.ran] == ["", ""]
    assert {one.check for one in bundle.observations} == {"05.names", "05.desired-by-hand", "04.lower-target"}


def test_a_student_has_so_much_time_for_all_of_them(desk: Desk, lab: Lab, tmp_path: Path) -> None:
    bundle = run(desk, lab, tmp_path, Patience(student=0))
    assert [(one.ended, one.ours) for one in bundle.ran] == [(OUT_OF_TIME, False)] * 2
    assert {remark.kind for remark in bundle.remarks} == {"flagged"}
