"""The simulated nodes as the API server sees them: what they announce, and who may say so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import BadInput, ClusterError
from labkit.kube import Kube
from labkit.metrics.client import Metrics
from localcluster import polling
from localcluster.api.client import Api
from localcluster.api.objects import KubeObject
from localcluster.embedded import nodes
from localcluster.embedded.provider import Embedded
from localcluster.gpus.breaking import GpuFaults
from localcluster.gpus.device import device_uuid
from localcluster.netns import doors
from localcluster.provider import NewNode

pytestmark = pytest.mark.embedded

GPU = "nvidia.com/gpu"


@pytest.fixture(scope="module")
def kube(cluster: Embedded) -> Kube:
    return Kube(cluster.kubeconfig(), namespace="default")


@pytest.fixture
def sick_gpu(cluster: Embedded) -> Iterator[str]:
    """One GPU of gpu-node-2 that has fallen off the bus, until the test is over."""
    gpus = GpuFaults(Api(cluster.kubeconfig()), cluster.spec().name)
    gpus.fail("gpu-node-2", 1)
    yield device_uuid(lab=cluster.layout.dir.name, node="gpu-node-2", index=1)
    gpus.heal("gpu-node-2", 1)


def allocatable(kube: Kube, node: str) -> str:
    return str(kube.object(f"node/{node}").at("status.allocatable")[GPU])


def test_gpu_nodes_announce_their_gpus_as_feature_discovery_does(kube: Kube) -> None:
    nodes = {n.name: n for n in kube.objects("nodes")}
    assert set(nodes) == {"gpu-node-1", "gpu-node-2", "gpu-node-3", "cpu-node-1"}
    node = nodes["gpu-node-1"]
    assert node.at("status.capacity")[GPU] == "4"
    labels = {key: node.labels[f"nvidia.com/gpu.{key}"] for key in ("product", "memory", "count", "present")}
    assert labels == {"product": "NVIDIA-L4", "memory": "23034", "count": "4", "present": "true"}
    assert node.labels["labkit.dev/simulated"] == "true"
    assert GPU not in nodes["cpu-node-1"].at("status.capacity")
    assert not [k for k in nodes["cpu-node-1"].labels if k.startswith("nvidia.com/")]


def test_a_node_says_the_version_of_the_control_plane(kube: Kube) -> None:
    control_plane = kube.raw("/version")["gitVersion"]
    versions = {node.at("status.nodeInfo.kubeletVersion") for node in kube.objects("nodes")}
    assert versions == {f"{control_plane}+labkit"}


def test_each_node_has_an_address_of_its_own_and_the_kubelets_port(kube: Kube) -> None:
    nodes = {n.name: n for n in kube.objects("nodes")}
    ips = {name: internal_ip(node) for name, node in nodes.items()}
    assert len(set(ips.values())) == len(nodes)
    ports = {node.at("status.daemonEndpoints.kubeletEndpoint.Port") for node in nodes.values()}
    assert ports == {10250}
    rows = [line.split() for line in kube.kubectl("get", "nodes", "-o", "wide", "--no-headers").splitlines()]
    assert {row[0]: row[5] for row in rows} == ips
    ranges = [(n.at("spec.podCIDR"), n.at("spec.podCIDRs")) for n in nodes.values()]
    assert len({one for one, _ in ranges}) == len(nodes)
    assert all(several == [one] for one, several in ranges)


def test_describe_says_that_the_machine_is_simulated(kube: Kube) -> None:
    text = kube.kubectl("describe", "node/gpu-node-1")
    for part in ("labkit simulated node", "bubblewrap://", "KubeletReady", "nvidia.com/gpu:     4"):
        assert part in text


def test_every_node_renews_its_lease(kube: Kube) -> None:
    leases = kube.raw("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases")["items"]
    assert {item["spec"]["holderIdentity"] for item in leases} == {n.name for n in kube.objects("nodes")}


def test_a_deleted_node_comes_back(kube: Kube) -> None:
    before = kube.object("node/cpu-node-1").at("metadata.uid")
    kube.kubectl("delete", "node/cpu-node-1")

    def back() -> bool:
        return any(n.name == "cpu-node-1" and n.at("metadata.uid") != before for n in kube.objects("nodes"))

    polling.until(back, "the node to register again", seconds=20)
    kube.until("node/cpu-node-1 ready", seconds=20)


def test_an_unhealthy_gpu_is_not_allocatable(kube: Kube, sick_gpu: str) -> None:
    assert sick_gpu.startswith("GPU-")
    polling.until(lambda: allocatable(kube, "gpu-node-2") == "3", "3 allocatable GPUs", seconds=20)
    assert kube.object("node/gpu-node-2").at("status.capacity")[GPU] == "4"


def test_a_gpu_that_is_well_again_is_allocatable(kube: Kube) -> None:
    polling.until(lambda: allocatable(kube, "gpu-node-2") == "4", "4 allocatable GPUs", seconds=20)


def test_prometheus_knows_every_gpu(cluster: Embedded) -> None:
    at = cluster.prometheus()
    metrics = Metrics(at.url, ca=at.ca, cert=at.cert, key=at.key, clock=cluster.spec().clock)

    def devices() -> int:
        return len(metrics.query("DCGM_FI_DEV_FB_FREE", may_be_empty=True).by("UUID"))

    polling.until(lambda: devices() == 12, "12 GPUs in Prometheus", seconds=20)


def test_a_node_may_speak_only_for_itself(cluster: Embedded) -> None:
    theirs: Path = cluster.layout.dir / "kubeconfigs" / "node-gpu-node-1"
    node = Kube(theirs, namespace="default")
    with pytest.raises(ClusterError, match="forbidden"):
        node.kubectl("label", "node/gpu-node-2", "mine=yes")
    with pytest.raises(ClusterError, match="not allowed to modify taints"):
        node.kubectl("taint", "node", "gpu-node-1", "mine=yes:NoSchedule")


@pytest.fixture
def ninth(cluster: Embedded) -> Iterator[str]:
    """A node that joined the running lab, and leaves it again."""
    cluster.plug_in(NewNode("gpu-node-9", gpus=8, labels={"tier": "burst"}))
    yield "gpu-node-9"
    cluster.plug_out()


def test_a_node_joins_and_leaves_while_the_cluster_runs(kube: Kube, cluster: Embedded, ninth: str) -> None:
    polling.until(lambda: ninth in {n.name for n in kube.objects("nodes")}, "the node to join", seconds=30)
    kube.until(f"node/{ninth} ready", seconds=30)
    node = kube.object(f"node/{ninth}")
    assert (node.at("status.capacity")[GPU], node.labels["tier"]) == ("8", "burst")
    polling.until(lambda: not silent(cluster, node), "its kubelet to listen", seconds=30)
    assert cluster.plug_out() == [ninth]
    polling.until(lambda: silent(cluster, node), "its kubelet to fall silent", seconds=30)
    kube.until("node/gpu-node-1 ready", seconds=30)
    assert ninth not in {n.name for n in kube.objects("nodes")}


def internal_ip(node: KubeObject) -> str:
    (found,) = [a["address"] for a in node.at("status.addresses") if a["type"] == "InternalIP"]
    return str(found)


def silent(cluster: Embedded, node: KubeObject) -> bool:
    """Whether nothing listens at the place where the Node says that its kubelet is."""
    port = node.at("status.daemonEndpoints.kubeletEndpoint.Port")
    try:
        doors.connected(cluster.layout.dir / doors.INSIDE, f"{internal_ip(node)}:{port}").close()
    except ConnectionError as error:
        return "refused" in str(error)
    return False


def test_a_node_that_there_is_not_is_told(cluster: Embedded) -> None:
    with pytest.raises(BadInput, match="no node called 'gpu-node-7'") as told:
        nodes.stop(cluster.layout, "gpu-node-7")
    assert "gpu-node-1" in told.value.fix


def test_a_node_without_power_falls_silent_and_comes_back(kube: Kube, cluster: Embedded) -> None:
    node = kube.object("node/gpu-node-3")
    polling.until(lambda: not silent(cluster, node), "its kubelet to listen", seconds=30)
    cluster.stop_node("gpu-node-3")
    assert silent(cluster, node)
    kube.until("node/gpu-node-1 ready", seconds=30)  # the others go on
    assert kube.object("node/gpu-node-3").is_true("Ready"), "nobody told the control plane"
    polling.until(
        lambda: not kube.object("node/gpu-node-3").is_true("Ready"), "the control plane to notice", seconds=90
    )
    assert cluster.restore_nodes() == ["gpu-node-3"]
    assert kube.object("node/gpu-node-3").is_true("Ready")
    assert cluster.restore_nodes() == []
