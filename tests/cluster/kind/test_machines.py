"""Machines of a kind lab: one loses its power and comes back, one joins, and its GPUs can be divided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from labkit.errors import BadInput
from labkit.kube import Kube
from localcluster import polling
from localcluster.kind.provider import Kind
from localcluster.provider import NewNode

pytestmark = pytest.mark.kind

GPU, SLICE = "nvidia.com/gpu", "nvidia.com/mig-1g.5gb"
A100 = "NVIDIA-A100-SXM4-40GB"


@pytest.fixture
def kube(cluster: Kind) -> Iterator[Kube]:
    yield Kube(cluster.kubeconfig(), namespace="monitoring")
    cluster.restore_nodes()
    cluster.plug_out()


def allocatable(kube: Kube, node: str, resource: str = GPU) -> int:
    found: dict[str, Any] = kube.object(f"node/{node}").at("status.allocatable")
    return int(found.get(resource, 0))


def gpu_node(kube: Kube) -> str:
    return min(node.name for node in kube.objects("nodes") if "nvidia.com/gpu.count" in node.labels)


def test_gpus_are_shared_as_a_nodes_label_asks_and_whole_again_without_it(kube: Kube) -> None:
    node = gpu_node(kube)
    label = "nvidia.com/device-plugin.config"
    kube.kubectl("label", "node", node, f"{label}=time-slicing-2")
    try:
        polling.until(lambda: allocatable(kube, node) == 8, "eight of four", seconds=60)
        product = kube.object(f"node/{node}").labels["nvidia.com/gpu.product"]
        assert product == "NVIDIA-L4-SHARED"
    finally:
        kube.kubectl("label", "node", node, f"{label}-")
    polling.until(lambda: allocatable(kube, node) == 4, "four again", seconds=60)


def test_a_machine_joins_is_cut_into_slices_and_leaves_nothing(cluster: Kind, kube: Kube) -> None:
    cluster.plug_in(NewNode("gpu-node-a100", gpus=1, gpu_product=A100))
    assert allocatable(kube, "gpu-node-a100") == 1
    with pytest.raises(BadInput, match="exists already"):
        cluster.plug_in(NewNode("gpu-node-a100", gpus=1, gpu_product=A100))
    kube.kubectl("label", "node", "gpu-node-a100", "nvidia.com/mig.config=all-1g.5gb")
    polling.until(lambda: allocatable(kube, "gpu-node-a100", SLICE) == 7, "seven slices", seconds=60)
    assert allocatable(kube, "gpu-node-a100") == 0
    assert cluster.plug_out() == ["gpu-node-a100"]
    assert kube.find("node/gpu-node-a100") is None
    assert kube.find("daemonset/gpu-plugin-gpu-node-a100") is None
    assert "gpu-node-a100" not in cluster.engine.run("ps", "--all", "--format", "{{.Names}}")


def test_a_machine_without_power_comes_back_as_it_was(cluster: Kind, kube: Kube) -> None:
    node = gpu_node(kube)
    cluster.stop_node(node)
    assert not cluster.engine.running(node)
    cluster.stop_node(node)  # it is off already
    assert cluster.restore_nodes() == [node]
    polling.until(lambda: allocatable(kube, node) == 4, "its GPUs", seconds=120)
    assert cluster.restore_nodes() == []


def test_a_node_that_is_not_there_is_named(cluster: Kind, kube: Kube) -> None:
    with pytest.raises(BadInput, match="no node called 'gpu-node-9'"):
        cluster.stop_node("gpu-node-9")
