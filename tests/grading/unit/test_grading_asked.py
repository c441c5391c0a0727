"""Which notebooks can be graded, and where: said before anything is run."""

import shutil
from pathlib import Path

import pytest

from labkit.errors import BadInput
from labkit_grading.sites.site import Site
from labkit_grading.submissions.released import assignment
from labkit_grading.verbs.asked import refuse_beyond, refuse_beyond_there
from tests.grading.unit.grading_class import NOTEBOOKS, ROOT


def test_every_notebook_of_the_course_can_be_graded() -> None:
    refuse_beyond(assignment(ROOT, NOTEBOOKS).notebooks)


def test_a_notebook_that_asks_for_more_is_refused_by_name() -> None:
    cells = [{"cell_type": "code", "source": line} for line in ("lab.gpus", "lab.kube.scale(1)")]
    cells += [{"cell_type": "code", "source": 'lab.kubectl(f"drain {node}")'}]
    asked = assignment(ROOT, NOTEBOOKS[:1]).notebooks["00-start"]
    asked.cells = [type(asked)(cell) for cell in cells]
    with pytest.raises(BadInput, match=r"99-new uses kubectl drain, lab\.gpus, lab\.kube\.scale"):
        refuse_beyond({"99-new": asked})


@pytest.mark.parametrize(
    ("provider", "fit"),
    [("kind", "02-deploy 03-load 04-hpa-cpu 06-tuning"), ("existing", "03-load")],
)
def test_where_others_work_too_some_notebooks_are_refused_up_front(provider: str, fit: str) -> None:
    wanted = assignment(ROOT, NOTEBOOKS).notebooks
    chosen = {name: wanted[name] for name in fit.split()}
    refuse_beyond_there(chosen, Site(provider), ROOT)
    for name in set(wanted) - set(chosen):
        with pytest.raises(BadInput, match=rf"Can't be graded on {provider}: {name} uses") as error:
            refuse_beyond_there({name: wanted[name]}, Site(provider), ROOT)
        assert f"among: {', '.join(chosen)}. Or omit --provider" in error.value.fix
    refuse_beyond_there(wanted, Site(), ROOT)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("00-start", "kubectl patch node/…"),
        ("01-containerize", "lab.images.push"),
        ("05-hpa-queue", "lab.faults.plant, manifests/05-hpa-queue/faults/apiservice.yaml (APIService)"),
        ("09-placement", "kubectl taint node, lab.nodes.kwok, lab.nodes.start, lab.nodes.stop"),
    ],
)
def test_what_would_change_the_cluster_for_others_is_named(name: str, told: str) -> None:
    with pytest.raises(BadInput, match="Can't be graded on kind") as error:
        refuse_beyond_there({name: assignment(ROOT, NOTEBOOKS).notebooks[name]}, Site("kind"), ROOT)
    assert told in error.value.what


def test_a_provider_that_lacks_something_is_told_so() -> None:
    wanted = assignment(ROOT, NOTEBOOKS).notebooks
    for name, told in (("02-deploy", "lab.faults.kill"), ("05-hpa-queue", "lab.faults.plant, lab.why")):
        with pytest.raises(BadInput) as error:
            refuse_beyond_there({name: wanted[name]}, Site("existing"), ROOT)
        assert told in error.value.what


def test_a_load_on_any_cluster_needs_a_service_with_an_address(tmp_path: Path) -> None:
    for folder in ("manifests", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    wanted = {"04-hpa-cpu": assignment(ROOT, NOTEBOOKS).notebooks["04-hpa-cpu"]}
    with pytest.raises(BadInput, match="04-hpa-cpu/server provides no access"):
        refuse_beyond_there(wanted, Site("existing"), tmp_path)
    service = tmp_path / "manifests/base/server/service.yaml"
    service.write_text(service.read_text().replace("spec:\n", "spec:\n  type: LoadBalancer\n"))
    refuse_beyond_there(wanted, Site("existing"), tmp_path)
    shutil.rmtree(tmp_path / "manifests/overlays/existing")
    wanted = {"03-load": assignment(ROOT, NOTEBOOKS).notebooks["03-load"]}
    with pytest.raises(BadInput, match=r"existing/server \(there is none\)"):
        refuse_beyond_there(wanted, Site("existing"), tmp_path)
