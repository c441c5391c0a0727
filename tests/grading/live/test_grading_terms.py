"""What a submission's pods may run and take, as a real API server and its nodes hold them to it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from labkit import pull_secret, reset
from labkit.errors import ClusterError, Refused
from labkit.kube import Kube, documents
from labkit.kube.client import Which
from labkit.lab import NAMESPACE, Lab, Session
from labkit.notebooks.strip import read
from labkit_grading.judging.programs import Programs
from labkit_grading.sites.claim import GRADING
from labkit_grading.sites.terms import Terms, lift, reaches_for
from localcluster import polling
from localcluster.api.client import Request
from localcluster.embedded.provider import Embedded
from localcluster.node.pod.storage import taken
from tests.attacks.measured import CHEATS, server
from tests.grading.unit.grading_class import NOTEBOOKS, ROOT

ERRORS = {"a second container", "another image", "shared processes", "the node's network"}
"""Refused, too, but others than cheats do this by mistake, or Pod Security says it first."""
MIB = 2**20
DIAL = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)
    print("open")
except OSError as error:
    print("closed")
"""


def deployment(spec: dict[str, Any], name: str = "llm-inference-service") -> dict[str, Any]:
    labels = {"app": "llm-model"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def of(number: str) -> Programs:
    [path] = ROOT.glob(f"notebooks/{number}-*.ipynb")
    return Programs.of(read(path), ROOT)


@pytest.fixture(scope="module")
def lab(cluster: Embedded) -> Iterator[Lab]:
    kube = Kube(cluster.kubeconfig(), namespace=NAMESPACE, clock=cluster.spec().clock)
    lab = Lab(Session(cluster, cluster.spec().clock, 0, "test"), kube)
    lab.reset()
    yield lab
    lift(kube)
    reset.clear(kube, print)
    kube.delete_namespace(GRADING)


@pytest.fixture(scope="module")
def capstone(lab: Lab) -> Lab:
    Terms(lab.kube, of("10")).lay()
    return lab


def tried(lab: Lab, one: dict[str, Any]) -> str:
    """What the API server says to it, without doing it; empty if it would take it."""
    resource = lab.kube.resources.named(one["kind"])
    request = Request(resource.path(NAMESPACE), "POST", {"dryRun": "All"}, one)
    try:
        lab.kube.api.send(request)
    except Refused as error:
        return error.what
    return ""


@pytest.mark.parametrize("name", CHEATS)
def test_what_decides_a_measurement_is_refused_at_admission(capstone: Lab, name: str) -> None:
    spec = server(**CHEATS[name])
    spec.pop("ephemeralContainers", None)
    one = deployment(spec)
    if "ephemeralContainers" in server(**CHEATS[name]):
        return
    said = tried(capstone, one)
    assert "labkit-grading" in said or "PodSecurity" in tried(capstone, pod_of(spec)), said
    assert reaches_for(said) or name in ERRORS, said
    assert tried(capstone, pod_of(spec))


def pod_of(spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "mine", "namespace": NAMESPACE, "labels": {"app": "llm-model"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    "args",
    [["--max-num-seqs=64"], ["--max-num-seqs", "64", "--enforce-eager"], ["--gpu-memory-utilization=0.5"]],
)
def test_what_is_a_students_to_choose_is_taken(capstone: Lab, args: list[str]) -> None:
    assert tried(capstone, deployment(server(args=args), "mine")) == ""


def test_a_mistake_is_explained_and_nobody_needs_to_look(capstone: Lab) -> None:
    said = tried(capstone, deployment(server(args=["--tensor-parallel-size=2"]), "mine"))
    assert "takes these flags of vLLM: --max-num-seqs" in said
    assert not reaches_for(said)


@pytest.mark.parametrize(
    "service",
    [
        {"type": "ExternalName", "externalName": "example.org"},
        {"ports": [{"port": 80}]},
        {"selector": {"app": "llm-model"}, "ports": [{"port": 80}], "externalIPs": ["192.0.2.1"]},
    ],
    ids=["by another name", "of no pods", "of addresses outside"],
)
def test_a_service_leads_to_pods_of_its_namespace(capstone: Lab, service: dict[str, Any]) -> None:
    metadata = {"name": "fast", "namespace": NAMESPACE}
    said = tried(capstone, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service})
    assert reaches_for(said), said


def test_what_was_taken_is_not_changed_later(capstone: Lab) -> None:
    kube = capstone.kube
    made = deployment(server())
    made["spec"]["replicas"] = 0
    kube.api.send(Request(kube.resources.named("Deployment").path(NAMESPACE), "POST", body=made))
    later = {"containers": [{"name": "model-server", "args": ["--clock=1500"]}]}
    change = json.dumps({"spec": {"template": {"spec": later}}})
    with pytest.raises(ClusterError, match="the grader's to set"):
        kube.kubectl("patch", "deployment/llm-inference-service", "-p", change)
    with pytest.raises(ClusterError, match="the grader's to set"):
        kube.kubectl("set", "env", "deployment/llm-inference-service", "LABKIT_CLOCK=1500")
    with pytest.raises(ClusterError, match="this notebook has no such image"):
        kube.kubectl("set", "image", "deployment/llm-inference-service", "model-server=docker.io/fast:1")
    kube.delete("deployment/llm-inference-service")


def test_the_capstone_is_taken_before_and_after_its_exercise_was_done(capstone: Lab) -> None:
    Terms(capstone.kube, of("10")).bound()
    for folder in ("exercises", "solutions"):
        capstone.kube.apply(f"manifests/10-production/{folder}/capstone")
        capstone.kube.until("pods app=llm-model total>=1", seconds=60)
        capstone.kube.delete(f"manifests/10-production/{folder}/capstone")
        capstone.kube.until("pods total=0", seconds=60)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_notebooks_own_files_and_solutions_are_taken(lab: Lab, path: Any) -> None:
    terms = Terms(lab.kube, Programs.of(read(path), ROOT))
    terms.lay()
    found = {}
    for file in sorted(ROOT.glob(f"manifests/{path.stem[:2]}-*/**/*.yaml")):
        kinds = {"Deployment", "DaemonSet", "Pod", "Service"}
        if file.name in documents.KUSTOMIZATION or "refused" in file.parts or "capstone" in file.parts:
            continue
        if "kind: EndpointPickerConfig" in file.read_text():  # a file of the picker's, no object
            continue
        for one in documents.load(file):
            if one.obj["kind"] in kinds and (said := tried(lab, named(one.obj))) and "labkit-grading" in said:
                found[str(file)] = said
    assert found == {}


def named(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "metadata": {**one["metadata"], "namespace": NAMESPACE}}


def pod(name: str, command: list[str]) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "registry.lab:5000/llm-inference:1.0",
        "command": command,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spec = {
        "imagePullSecrets": [{"name": "registry-login"}],
        "terminationGracePeriodSeconds": 1,
        "volumes": [{"name": "data", "emptyDir": {}}],
        "containers": [container],
    }
    metadata = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.fixture
def sleepers(capstone: Lab) -> Iterator[Kube]:
    """Two pods of a submission that only sleep, with a volume each: an attack starts from the first."""
    kube = capstone.kube
    Terms(kube, of("10")).bound()
    for name in ("attacker", "beside"):
        made = pod(name, ["sleep", "infinity"])
        kube.api.send(Request(kube.resources.named("Pod").path(NAMESPACE), "POST", body=made))
    kube.until("pod/attacker ready", "pod/beside ready", seconds=60)
    yield kube
    kube.delete("pod/attacker", "pod/beside", grace=1)
    kube.until("pods total=0", seconds=60)


@pytest.mark.parametrize("place", ["/data/x", "/var/x"], ids=["a volume", "its own layer"])
def test_who_fills_the_disk_is_evicted_and_its_space_given_back(
    sleepers: Kube, cluster: Embedded, place: str
) -> None:
    fill = f"head -c 4000000000 /dev/zero > {place}"
    with pytest.raises(ClusterError):
        sleepers.kubectl("exec", "attacker", "--", "sh", "-c", fill)
    polling.until(
        lambda: sleepers.object("pod/attacker").at("status.reason") == "Evicted", "the eviction", seconds=30
    )
    said = sleepers.object("pod/attacker").at("status.message")
    assert said == "Pod ephemeral local storage usage exceeds the total limit of containers 256Mi. "
    folder = cluster.layout.dir / "pods" / str(sleepers.object("pod/attacker").at("metadata.uid"))
    polling.until(lambda: taken([folder]) < MIB, f"{folder} to be given back", seconds=10)
    assert sleepers.object("pod/beside").at("status.phase") == "Running"


def test_a_pod_that_asks_for_more_disk_than_there_is_for_it_is_refused(capstone: Lab) -> None:
    Terms(capstone.kube, of("10")).bound()
    resources = {"limits": {"nvidia.com/gpu": 1, "ephemeral-storage": "100Gi"}}
    assert "maximum ephemeral-storage usage per Container is 1Gi" in tried(
        capstone, pod_of(server(resources=resources))
    )


def test_a_submissions_pods_reach_each_other_and_nothing_else(sleepers: Kube) -> None:
    def dialled(host: str, port: int) -> str:
        return sleepers.kubectl("exec", "attacker", "--", "python3", "-c", DIAL, host, str(port)).strip()

    system = [one for one in sleepers.objects("pods", which=Which(namespace="")) if one.at("status.podIP")]
    others = [one for one in system if one.namespace != NAMESPACE]
    own = str(sleepers.object("pod/beside").at("status.podIP"))
    sleepers.kubectl("exec", "beside", "--", "sh", "-c", "python3 -m http.server 8000 >/dev/null 2>&1 &")
    polling.until(lambda: dialled(own, 8000) == "open", "the pod beside it to answer", seconds=20)
    targets = [("10.96.0.1", 443), ("10.244.0.1", 6443), ("10.244.0.20", 9090), ("192.0.2.1", 80)]
    targets += [(str(one.at("status.podIP")), 8080) for one in others]
    assert {target: dialled(*target) for target in targets} == dict.fromkeys(targets, "closed")


def test_only_the_clusters_dns_is_reached_at_its_port(sleepers: Kube, cluster: Embedded) -> None:
    """Else a pod elsewhere could listen there, and be told everything."""
    there = Kube(cluster.kubeconfig(), namespace=GRADING, clock=cluster.spec().clock)
    pull_secret.make(there, cluster.registry(), name="registry-login")
    made = pod("listener", ["python3", "-m", "http.server", "53"])
    there.api.send(Request(there.resources.named("Pod").path(GRADING), "POST", body=made))
    try:
        there.until("pod/listener ready", seconds=60)
        address = str(there.object("pod/listener").at("status.podIP"))
        inside = ["exec", "listener", "--", "python3", "-c", DIAL, address, "53"]
        polling.until(lambda: there.kubectl(*inside).strip() == "open", "it to listen", seconds=20)
        attack = ["exec", "attacker", "--", "python3", "-c"]
        assert sleepers.kubectl(*attack, DIAL, address, "53").strip() == "closed"
        name = "import socket; print(socket.gethostbyname('kubernetes.default.svc.cluster.local'))"
        assert sleepers.kubectl(*attack, name).strip() == "10.96.0.1"
    finally:
        there.delete("pod/listener", "secret/registry-login", grace=1)
