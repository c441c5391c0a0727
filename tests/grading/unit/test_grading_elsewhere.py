"""A class as a guest of a cluster: where it may be, what holds it, and who scaled where no log says so."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit.errors import BadInput, NotOurs, ProviderError
from labkit.kube import documents
from labkit_grading.capacity import shared
from labkit_grading.judging.bundle import Write
from labkit_grading.room import refuse_unless, unenforced
from labkit_grading.sites.guard import FILE
from labkit_grading.sites.premises import Premises
from labkit_grading.sites.site import Site
from labkit_grading.student import parameters
from labkit_grading.tenancy import refuse_work
from labkit_grading.written import Scalings
from localcluster.api.objects import KubeObject
from tests.grading.unit.grading_class import ROOT

KIND = Site("kind", "class")
EXISTING = Site("existing", clock=1)
GUARD = {one["kind"]: one for one in yaml.safe_load_all((ROOT / FILE).read_text())}
PLURALS = {
    "Deployment": "deployments",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Service": "services",
}
FOLDERS = ("02-deploy", "03-load", "04-hpa-cpu", "06-tuning", "overlays/embedded", "overlays/kind", "base")
"""What the notebooks apply that can be graded where others work, too."""


def applied() -> list[dict[str, Any]]:
    folders = [ROOT / "manifests" / name for name in FOLDERS]
    files = [path for folder in folders for path in folder.rglob("*.yaml")]
    whole = [path for path in files if path.name not in documents.KUSTOMIZATION]
    rendered = [ROOT / "manifests" / name for name in ("02-deploy", "04-hpa-cpu/server", "overlays/kind")]
    kinds = "Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Service", "Pod"
    texts = [yaml.safe_load_all(path.read_text()) for path in whole]
    found = [one for text in texts for one in text if one and one.get("kind") in kinds]
    return [*found, *(document.obj for path in rendered for document in documents.load(path))]


def test_a_notebook_is_told_where_it_runs_and_by_which_clock() -> None:
    assert parameters()["PROVIDER"] == "embedded"
    assert parameters(KIND) | {"PROVIDER": "embedded"} == parameters()
    assert parameters(EXISTING)["CLOCK"] == 1
    assert parameters(Site("kind", clock=7.5))["CLOCK"] == 7.5


def test_a_site_is_looked_at_before_anything_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    assert Site.chosen("embedded").own
    for provider, error in (("existing", ProviderError), ("kind", ProviderError), ("cloud", BadInput)):
        with pytest.raises(error):
            Site.chosen(provider)
    with pytest.raises(BadInput, match="its own lab"):
        Site.chosen("embedded", "mine")


def test_one_cluster_has_room_for_one_worker() -> None:
    assert shared(KIND).workers == 1
    assert "kind class" in shared(KIND, asked=1).why
    with pytest.raises(BadInput, match="2 workers were requested, but existing has room for one") as error:
        shared(EXISTING, asked=2)
    assert error.value.cause
    assert "--workers" in error.value.fix


@pytest.mark.parametrize(
    ("site", "variable"), [(KIND, "LABKIT_LAB"), (Site("existing", "c"), "LABKIT_CONTEXT")]
)
def test_a_guest_has_files_of_its_own_and_no_lab(site: Site, variable: str, tmp_path: Path) -> None:
    premises = Premises(tmp_path, site)
    with premises.claimed():
        told = premises.environment(premises.next_number())
        assert told[variable] == site.name
        assert "LABKIT_HOME" not in told
        assert Path(told["LABKIT_OUT"]).is_relative_to(tmp_path)
        premises.clear(1)


def test_what_each_platform_does_not_enforce_is_told() -> None:
    assert not any("pods" in line for line in unenforced())  # theirs reach nothing of this machine
    for site in (KIND, EXISTING):
        assert any("NetworkPolicy" in line for line in unenforced(site))
        with pytest.raises(BadInput, match="baseline") as error:
            refuse_unless(trusted=False, site=site)
        assert "a cluster where nothing can be lost" in error.value.fix
    assert len(unenforced(KIND)) == len(unenforced(EXISTING)) + 1


def made(kind: str, at: str, **metadata: Any) -> KubeObject:
    return KubeObject({"kind": kind, "metadata": {"name": "x", "creationTimestamp": at, **metadata}})


def test_what_was_made_while_a_claim_held_is_a_graders_and_all_else_is_somebodys() -> None:
    early, late = "2026-01-01T10:00:00Z", "2026-01-01T12:00:00Z"
    until = 1767265200.0  # 11:00
    refuse_work([], 0.0, KIND)
    refuse_work([made("Deployment", early)], until, KIND)
    refuse_work([made("Pod", late, ownerReferences=[{}])], until, KIND)  # its Deployment says when it came
    for there, claimed in ((made("Deployment", late), until), (made("Pod", early), 0.0)):
        with pytest.raises(NotOurs, match="someone's work"):
            refuse_work([there], claimed, KIND)


def hpa(desired: int, scaled: str | None, uid: str = "1") -> KubeObject:
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "server"}}
    status = {"desiredReplicas": desired, "lastScaleTime": scaled} if scaled else {"desiredReplicas": desired}
    return KubeObject({"kind": "HPA", "metadata": {"name": "x", "uid": uid}, "spec": spec, "status": status})


def test_a_step_that_the_hpa_made_is_known_by_its_status() -> None:
    seen = Scalings()
    for at, version in enumerate((hpa(2, None), hpa(6, "10:00:00"), hpa(6, "10:00:00"), hpa(10, "10:00:15"))):
        seen.take(version, float(at))
    assert seen.writes == [Write(1.0, "server", 6), Write(3.0, "server", 10)]


def test_replicas_that_somebody_else_set_are_no_step_of_it() -> None:
    seen = Scalings()
    for at, version in enumerate((hpa(2, None), hpa(8, None), hpa(4, "10:00:00", uid="another"))):
        seen.take(version, float(at))
    assert seen.writes == []


def test_the_guard_admits_what_the_notebooks_apply() -> None:
    rules = GUARD["Role"]["rules"]
    allowed = {(name, verb) for rule in rules for name in rule["resources"] for verb in rule["verbs"]}
    hard, limits = GUARD["ResourceQuota"]["spec"]["hard"], GUARD["LimitRange"]["spec"]["limits"]
    defaults = limits[0]["defaultRequest"]
    found = applied()
    assert len(found) > 20
    for one in found:
        assert {(PLURALS[one["kind"]], verb) for verb in ("get", "create", "patch", "delete")} <= allowed
    servers = [one for one in found if one["kind"] == "Deployment"]
    pods = [one["spec"]["template"]["spec"] for one in servers]
    for container in (container for pod in pods for container in pod["containers"]):
        asks = {**container["resources"].get("limits", {}), **container["resources"].get("requests", {})}
        counted = {name.removeprefix("requests.") for name in hard if name.startswith("requests.")}
        needed = counted - set(asks) - set(defaults) - {"nvidia.com/gpu"}  # those of no GPU are not counted
        assert not needed, container
    assert "cpu" not in defaults, "04 is about a pod that declares none"
    assert not any("cpu" in name for name in hard)


def test_a_students_rights_end_at_the_course() -> None:
    account = GUARD["RoleBinding"]["subjects"][0]
    assert account["namespace"] != GUARD["Role"]["metadata"]["namespace"]  # or a pod could run under it
    for rule in GUARD["Role"]["rules"]:
        assert not {"secrets", "roles", "resourcequotas", "serviceaccounts"} & set(rule["resources"])
        assert not any(name.endswith("/status") for name in rule["resources"])
        assert "*" not in rule["verbs"]
        assert rule["resources"] != ["*"] or set(rule["verbs"]) == {"get", "list"}
