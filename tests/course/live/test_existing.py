"""The provider `existing`, with an embedded lab as the cluster that somebody else looks after."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from course.existing import in_cluster
from course.existing.provider import Existing
from labkit import clients, reset
from labkit.doctor.look import look
from labkit.errors import NotOurs, ProviderError
from labkit.kube import Kube
from labkit.kube.client import Which
from labkit.kube.namespaces import MANAGED, NAMESPACE
from localcluster.api.objects import KubeObject
from localcluster.embedded.provider import Embedded
from localcluster.provider import Spec

pytestmark = pytest.mark.embedded

SERVER = Path(__file__).parents[2] / "images" / "queue_server" / "manifest.yaml"
ADMIN = ("system:aggregate-to-admin", "system:aggregate-to-edit", "system:aggregate-to-view")
"""What the cluster role `admin` holds elsewhere; here no controller puts the three together."""


@pytest.fixture
def owner(cluster: Embedded) -> Iterator[Kube]:
    """The person who looks after the cluster, and may do everything."""
    kube = Kube(cluster.kubeconfig(), namespace=NAMESPACE)
    kube.ensure_namespace()
    yield kube
    kube.ensure_namespace()  # other tests count on it


@pytest.fixture
def foreign(owner: Kube, monkeypatch: pytest.MonkeyPatch) -> Existing:
    """The same cluster as labkit sees it through a kubeconfig that it did not write."""
    monkeypatch.setenv("KUBECONFIG", str(owner.kubeconfig))
    for name in ("LABKIT_CONTEXT", "LABKIT_PROMETHEUS"):
        monkeypatch.delenv(name, raising=False)
    return Existing()


@pytest.fixture
def guest(owner: Kube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Existing:
    """A user without any rights: a service account's token in a kubeconfig."""
    owner.kubectl("apply", "-f", "-", stdin=json.dumps(service_account("guest")))
    config = yaml.safe_load(owner.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": owner.kubectl("create", "token", "guest").strip()}
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(file))
    return Existing()


def service_account(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


Snapshot = dict[str, Any]
BUSY = frozenset({"leases", "events", "endpoints", "endpointslices", "componentstatuses"})
"""What the cluster's own parts keep writing, whoever works there."""


def snapshot(kube: Kube) -> Snapshot:
    """Everything outside of the course's namespace, but for status and who wrote it when."""
    found: Snapshot = {}
    for line in kube.kubectl("api-resources", "--verbs=list", "-o", "name").split():
        if line.partition(".")[0] in BUSY or line.endswith("metrics.k8s.io"):
            continue
        for obj in kube.objects(line, which=Which(namespace="")):
            if NAMESPACE not in {obj.namespace, obj.name}:
                found[f"{line}/{obj.namespace}/{obj.name}"] = lasting(obj.raw)
    return found


def lasting(raw: Mapping[str, Any]) -> dict[str, Any]:
    meta = raw["metadata"]
    kept = {key: meta.get(key) for key in ("uid", "labels", "annotations", "generation", "finalizers")}
    return {**{k: v for k, v in raw.items() if k not in {"metadata", "status"}}, "metadata": kept}


def test_nothing_outside_its_namespace_is_touched_from_up_to_down(owner: Kube, foreign: Existing) -> None:
    owner.delete_namespace()
    before = snapshot(owner)
    assert len(before) > 100
    said: list[str] = []
    foreign.up(Spec(), said.append)
    assert f"namespace {NAMESPACE} created" in said
    kube = clients.kube(foreign, namespace=NAMESPACE)
    reset.run(kube, foreign, said.append)
    kube.apply(SERVER)
    kube.until("pods total=2", seconds=30)
    look(kube, lambda: clients.prometheus(foreign))
    reset.clear(kube, said.append)
    foreign.down(said.append)
    assert snapshot(owner) == before


def test_a_reset_leaves_the_owners_login_quota_and_policy(owner: Kube, foreign: Existing) -> None:
    names = ("secret/registry-login", "resourcequota/team", "networkpolicy/team")
    owner.kubectl("create", "secret", "generic", "registry-login", "--from-literal=token=mine")
    owner.kubectl("create", "quota", "team", "--hard=pods=5")
    owner.kubectl("apply", "-f", "-", stdin=policy("team"))
    owner.kubectl("create", "configmap", "mine", "--from-literal=a=b")
    try:
        reset.run(clients.kube(foreign, namespace=NAMESPACE), foreign, print)
        assert all(owner.object(name) for name in names)
        assert "mine" not in {found.name for found in owner.objects("configmaps")}
    finally:
        owner.delete(*names)


def policy(name: str) -> str:
    spec = {"podSelector": {}, "policyTypes": ["Egress"]}
    head = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}}
    return json.dumps({**head, "spec": spec})


def test_what_is_missing_is_told_and_does_not_stop_the_rest(foreign: Existing) -> None:
    said: list[str] = []
    foreign.up(Spec(), said.append)
    assert foreign.missing() is None
    missing = [line for line in said if line.startswith("missing: ")]
    assert [line.split(":")[1].strip() for line in missing] == ["registry", "Prometheus"]
    assert "needed by: 01" in missing[0]
    assert "LABKIT_PROMETHEUS" in missing[1]


def test_a_namespace_of_somebody_else_is_refused_and_survives(owner: Kube, foreign: Existing) -> None:
    owner.kubectl("label", "namespace", NAMESPACE, f"{MANAGED}-")
    try:
        with pytest.raises(NotOurs, match="was not made by labkit"):
            foreign.up(Spec())
        said: list[str] = []
        foreign.down(said.append)
        assert said == ["nothing here was made by labkit; nothing to do"]
        assert owner.object(f"namespace/{NAMESPACE}").at("status.phase") == "Active"
    finally:
        owner.kubectl("label", "namespace", NAMESPACE, f"{MANAGED}=true")


def test_a_user_without_rights_is_told_which_and_how_to_get_them(guest: Existing) -> None:
    why = guest.missing()
    assert why
    assert "this user may not get pods, list pods" in why
    assert "kubectl create rolebinding" in why
    with pytest.raises(ProviderError, match="may not"):
        guest.up(Spec())


def test_an_admin_of_the_namespace_alone_can_do_the_course(owner: Kube, guest: Existing) -> None:
    for role in ADMIN:
        name = role.replace(":", "-")
        account = f"--serviceaccount={NAMESPACE}:guest"
        owner.kubectl("create", "rolebinding", name, f"--clusterrole={role}", account)
    assert guest.missing() is None
    told = {need.name: need.finding for need in guest.needs()}
    assert "may not: " in told["permissions"].seen
    assert told["GPU nodes"].state == "unknown"


def test_a_token_that_is_not_known_is_told(guest: Existing, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    config = yaml.safe_load(file.read_text())
    config["users"][0]["user"] = {"token": "expired"}
    file.write_text(yaml.safe_dump(config))
    why = guest.missing()
    assert why
    assert "Unauthorized" in why
    assert "a login is missing" in why


def service(name: str, kind: str, **port: Any) -> str:
    spec = {"type": kind, "selector": {"app": "nobody"}, "ports": [{"port": 9090, **port}]}
    return json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})


def test_prometheus_is_looked_for_behind_the_api_server(owner: Kube) -> None:
    with pytest.raises(ProviderError, match="not known") as error:
        in_cluster.prometheus(owner)
    assert "Services there: adapter" in error.value.cause
    owner.kubectl("apply", "-n", "monitoring", "-f", "-", stdin=service("prometheus-k8s", "ClusterIP"))
    try:
        at = in_cluster.prometheus(owner)
        path = "/api/v1/namespaces/monitoring/services/prometheus-k8s:9090/proxy"
        assert at.url == f"{owner.api.host}{path}"
        assert at.ca
        assert at.cert
    finally:
        owner.kubectl("delete", "service", "-n", "monitoring", "prometheus-k8s")


def test_a_pod_that_can_not_be_forwarded_is_told(foreign: Existing) -> None:
    assert foreign.pod_address(KubeObject({"status": {"phase": "Pending"}})) == ""
    nobody = KubeObject({"metadata": {"name": "nobody"}, "status": {"phase": "Running"}})
    with pytest.raises(ProviderError, match='pods "nobody" not found'):
        foreign.pod_address(nobody)


def test_a_load_goes_to_a_node_port_or_nowhere(owner: Kube, foreign: Existing) -> None:
    owner.kubectl("apply", "-f", "-", stdin=service("inside", "ClusterIP"))
    owner.kubectl("apply", "-f", "-", stdin=service("outside", "NodePort", nodePort=30123))
    try:
        assert foreign.address(NAMESPACE, "outside", 9090).endswith(":30123")
        with pytest.raises(ProviderError, match="has no address") as error:
            foreign.address(NAMESPACE, "inside", 9090)
        assert "stays with one pod" in error.value.fix
    finally:
        owner.kubectl("delete", "service", "inside", "outside")
