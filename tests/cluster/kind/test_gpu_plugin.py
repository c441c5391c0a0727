"""The device plugin at the real kubelet: who gets which GPU, and that nothing is lost when either dies."""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit import pull_secret, reset
from labkit.errors import ClusterError
from labkit.kube import Kube
from labkit.kube.client import Which
from localcluster import polling
from localcluster.api import client
from localcluster.api.asynchronous import Api, ApiError
from localcluster.api.identity import Identity
from localcluster.gpus.breaking import GpuFaults
from localcluster.kind.engine import Engine
from localcluster.kind.provider import Kind
from tests import gpu_failure

pytestmark = pytest.mark.kind

GPU = "nvidia.com/gpu"
HOLD = "echo $NVIDIA_VISIBLE_DEVICES; exec sleep 9999"
MONITORING = "monitoring"


@pytest.fixture(scope="module")
def gpus(cluster: Kind) -> GpuFaults:
    return GpuFaults(client.Api(cluster.kubeconfig()), cluster.spec().name)


@pytest.fixture(scope="module")
def monitoring(cluster: Kind) -> Kube:
    return Kube(cluster.kubeconfig(), namespace=MONITORING)


@pytest.fixture
def kube(cluster: Kind, namespace: Kube) -> Kube:
    if access := cluster.registry():
        pull_secret.make(namespace, access, name=reset.PULL_SECRET)
    return namespace


@pytest.fixture(scope="module")
def image(monitoring: Kube) -> str:
    """An image with a shell that every GPU node has: the plugin's own."""
    path = "spec.template.spec.containers.0.image"
    return str(monitoring.object("daemonset/gpu-plugin").at(path))


def holders(kube: Kube, image: str, count: int, **pod: Any) -> None:
    """Make a Deployment whose pods hold one GPU each."""
    made = yaml.safe_load(
        gpu_failure.deployment(image, imagePullSecrets=[{"name": reset.PULL_SECRET}], **pod)
    )
    made["spec"]["replicas"] = count
    made["spec"]["template"]["spec"]["containers"][0]["command"] = ["sh", "-c", HOLD]
    kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(made))


def given(kube: Kube) -> dict[str, str]:
    """The GPU of each running pod, as its container was told."""
    pods = kube.objects("pods", which=Which(gpu_failure.SELECTOR))
    return {pod.name: kube.logs(pod.name).strip() for pod in pods if pod.at("status.phase") == "Running"}


def restarts(kube: Kube) -> set[int]:
    pods = kube.objects("pods", which=Which(gpu_failure.SELECTOR))
    return {pod.at("status.containerStatuses.0.restartCount") for pod in pods}


def on(node: str, *words: str) -> str:
    """Run a command on a node."""
    return Engine.chosen().run("exec", node, *words)


def plugin_of(monitoring: Kube, node: str) -> str:
    pods = monitoring.objects("pods", which=Which("app=gpu-plugin"))
    [name] = [pod.name for pod in pods if pod.at("spec.nodeName") == node]
    return name


def free(gpus: GpuFaults) -> int:
    return sum(1 for gpu in gpus.ls() if not gpu.pod)


def test_every_pod_gets_a_gpu_of_its_own_and_one_too_many_waits(
    kube: Kube, gpus: GpuFaults, image: str
) -> None:
    there = {gpu.uuid for gpu in gpus.ls()}
    holders(kube, image, len(there) + 1)
    polling.until(lambda: len(given(kube)) == len(there), "a pod on each GPU", seconds=120)
    assert set(given(kube).values()) == there
    [waiting] = [p for p in kube.objects("pods") if p.at("status.phase") == "Pending"]
    path = f"/api/v1/namespaces/{kube.namespace}/events?fieldSelector=involvedObject.name={waiting.name}"
    polling.until(
        lambda: "Insufficient nvidia.com/gpu" in str(kube.raw(path)["items"]), "the reason", seconds=20
    )


@pytest.fixture
def held(kube: Kube, gpus: GpuFaults, image: str) -> tuple[str, dict[str, str]]:
    """The first GPU node, and the GPU that a pod there has been given."""
    node = gpus.ls()[0].node
    holders(kube, image, 1, nodeName=node)
    kube.until("deployment/cuda available", seconds=120)
    return node, given(kube)


def test_kill_9_of_the_plugin_loses_no_allocation(
    kube: Kube, gpus: GpuFaults, monitoring: Kube, held: tuple[str, dict[str, str]]
) -> None:
    node, before = held
    plugin = f"pod/{plugin_of(monitoring, node)}"
    count = "status.containerStatuses.0.restartCount"
    first = monitoring.object(plugin).at(count)
    for pid in on(node, "pgrep", "-f", "localcluster.gpus.plugin").split():
        on(node, "kill", "-9", pid)
    polling.until(lambda: monitoring.object(plugin).at(count) > first, "the plugin's next run", seconds=60)
    monitoring.until(f"{plugin} ready", seconds=60)
    assert_nothing_lost(kube, gpus, before)


def test_kill_9_of_the_kubelet_loses_no_allocation(
    kube: Kube, gpus: GpuFaults, monitoring: Kube, held: tuple[str, dict[str, str]]
) -> None:
    node, before = held
    plugin = plugin_of(monitoring, node)
    registered = registrations(monitoring, plugin)
    on(node, "kill", "-9", on(node, "systemctl", "show", "--property=MainPID", "--value", "kubelet"))
    polling.until(
        lambda: registrations(monitoring, plugin) > registered, "the plugin to register again", seconds=60
    )
    assert_nothing_lost(kube, gpus, before)


def registrations(monitoring: Kube, plugin: str) -> int:
    """How often the plugin says it registered; 0 while no kubelet is there to ask for its log."""
    try:
        return monitoring.logs(plugin).count("registered nvidia.com/gpu with the kubelet")
    except ClusterError:
        return 0


def assert_nothing_lost(kube: Kube, gpus: GpuFaults, before: dict[str, str]) -> None:
    """The old holder runs on undisturbed, and new pods get every other GPU of its node."""
    [(old, uuid)] = before.items()
    node = next(gpu.node for gpu in gpus.ls() if gpu.uuid == uuid)
    others = {gpu.uuid for gpu in gpus.ls() if gpu.node == node} - {uuid}
    polling.until(
        lambda: gpu_failure.allocatable(kube, node) == str(len(others) + 1), "all GPUs again", seconds=60
    )
    kube.scale("deployment/cuda", replicas=1 + len(others))
    polling.until(lambda: len(given(kube)) == 1 + len(others), "a pod on each other GPU", seconds=120)
    after = given(kube)
    assert after.pop(old) == uuid
    assert set(after.values()) == others
    assert restarts(kube) == {0}


def test_a_failed_gpu_is_replaced_with_its_pod(kube: Kube, gpus: GpuFaults, image: str) -> None:
    secret = [{"name": reset.PULL_SECRET}]
    kube.kubectl("apply", "-f", "-", stdin=gpu_failure.deployment(image, imagePullSecrets=secret))
    seen = gpu_failure.recovery(kube, gpus)
    whole, broken = seen.allocatable
    assert (seen.capacity, int(broken)) == (whole, int(whole) - 1)
    assert (seen.health, seen.exit_code) == ("Unhealthy", 1)
    assert seen.replaced_by.uuid != seen.failed.uuid
    assert "GPUHealthEviction" in seen.reasons
    assert "GPUUnhealthy" in seen.node_reasons


def test_the_metrics_name_the_pod_that_holds_a_gpu(
    kube: Kube, gpus: GpuFaults, monitoring: Kube, image: str
) -> None:
    holders(kube, image, 1)
    kube.until("deployment/cuda available", seconds=120)
    [(pod, uuid)] = given(kube).items()
    node = next(gpu.node for gpu in gpus.ls() if gpu.uuid == uuid)
    path = f"/api/v1/namespaces/{MONITORING}/pods/{plugin_of(monitoring, node)}:9400/proxy/metrics"
    page = monitoring.kubectl("get", "--raw", path).splitlines()
    [sample] = [line for line in page if line.startswith("DCGM_FI_DEV_FB_USED{") and f'UUID="{uuid}"' in line]
    for label in (f'namespace="{kube.namespace}"', f'pod="{pod}"', 'container="cuda"', f'Hostname="{node}"'):
        assert label in sample


def test_feature_discoverys_labels_are_on_the_gpu_nodes(gpus: GpuFaults, kube: Kube) -> None:
    of_node = [gpu for gpu in gpus.ls() if gpu.node == gpus.ls()[0].node]
    labels = kube.object(f"node/{of_node[0].node}").labels
    assert labels["nvidia.com/gpu.count"] == str(len(of_node))
    assert labels["nvidia.com/gpu.product"] == "NVIDIA-L4"


@pytest.fixture
def plugin_api(monitoring: Kube, gpus: GpuFaults, tmp_path: Path) -> tuple[str, Identity]:
    """A node, and the identity that its plugin has: a token that is bound to the plugin's pod."""
    node = gpus.ls()[0].node
    bound = ("--bound-object-kind=Pod", f"--bound-object-name={plugin_of(monitoring, node)}")
    token = tmp_path / "token"
    token.write_text(monitoring.kubectl("create", "token", "gpu-plugin", *bound))
    cluster = yaml.safe_load(monitoring.kubeconfig.read_text())["clusters"][0]["cluster"]
    ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
    return node, Identity(cluster["server"], ssl.create_default_context(cadata=ca), token)


def refusal(who: Identity, path: str, change: dict[str, Any] | None) -> str:
    """What the API server says to the plugin; empty where it agrees. A change of None deletes."""

    async def ask() -> str:
        api = Api(who)
        try:
            await (api.delete(path, {"dryRun": ["All"]}) if change is None else api.patch(path, change))
        except ApiError as error:
            return error.message
        finally:
            await api.close()
        return ""

    return asyncio.run(ask())


def test_the_plugin_may_touch_its_own_node_only(
    kube: Kube, plugin_api: tuple[str, Identity], gpus: GpuFaults
) -> None:
    node, who = plugin_api
    other = next(n.name for n in kube.objects("nodes") if n.name != node)
    label = {"metadata": {"labels": {"nvidia.com/gpu.present": "true"}}}
    assert refusal(who, f"/api/v1/nodes/{node}", label) == ""
    assert "may label its own node only" in refusal(who, f"/api/v1/nodes/{other}", label)
    cordon = {"spec": {"unschedulable": True}}
    assert "may change labels only" in refusal(who, f"/api/v1/nodes/{node}", cordon)


def test_the_plugin_may_delete_pods_of_its_own_node_only(
    monitoring: Kube, plugin_api: tuple[str, Identity]
) -> None:
    node, who = plugin_api
    system = Kube(monitoring.kubeconfig, namespace="kube-system").objects(
        "pods", which=Which("k8s-app=kube-proxy")
    )
    by_node = {pod.at("spec.nodeName"): pod.name for pod in system}
    path = "/api/v1/namespaces/kube-system/pods"
    assert refusal(who, f"{path}/{by_node.pop(node)}", None) == ""  # a dry run
    [other, *_] = by_node.values()
    assert "may delete pods of its own node only" in refusal(who, f"{path}/{other}", None)
