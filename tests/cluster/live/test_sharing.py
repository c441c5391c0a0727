"""Dividing GPUs while the cluster runs: bin packing, time slicing, MIG slices, and a machine that joins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import BadInput
from labkit.kube.client import Which
from labkit.lab import Lab
from localcluster import polling
from localcluster.embedded.provider import Embedded
from localcluster.gpus.breaking import simulated
from localcluster.provider import NewNode

pytestmark = pytest.mark.embedded

WASTE = Path(__file__).parents[3] / "manifests" / "08-waste"
A100 = "NVIDIA-A100-SXM4-40GB"
GPU, SLICE = "nvidia.com/gpu", "nvidia.com/mig-1g.5gb"


@pytest.fixture
def lab(lab: Lab) -> Iterator[Lab]:
    """As a notebook finds it, and as a reset leaves it."""
    lab.reset()
    yield lab
    lab.reset()
    assert {n.name for n in filter(simulated, lab.kube.objects("nodes"))} == {
        "gpu-node-1", "gpu-node-2", "gpu-node-3", "cpu-node-1",
    }  # fmt: skip


def allocatable(lab: Lab, node: str) -> dict[str, Any]:
    found = lab.get(f"node/{node}").at("status.allocatable")
    return {name: count for name, count in found.items() if name.startswith("nvidia.com/")}


def announced(lab: Lab, node: str, **wanted: str) -> None:
    """Wait until a node announces this and nothing else."""
    polling.until(
        lambda: {n: c for n, c in allocatable(lab, node).items() if c != "0"} == wanted,
        f"{node} to announce {wanted}",
        seconds=30,
        last_seen=lambda: str(allocatable(lab, node)),
    )


def on_nodes(lab: Lab, selector: str) -> list[int]:
    pods = lab.kube.objects("pods", which=Which(selector))
    return sorted(Counter(pod.at("spec.nodeName") for pod in pods).values())


def test_nine_models_are_spread_or_packed_by_the_profile_they_name(lab: Lab) -> None:
    lab.apply(WASTE / "tenants.yaml")
    lab.until("pods app=small-model ready=9", seconds=120)
    assert on_nodes(lab, "app=small-model") == [3, 3, 3]
    lab.delete(WASTE / "tenants.yaml")
    lab.until("pods total=0", seconds=60)
    lab.apply(WASTE / "solutions" / "packed.yaml")
    lab.until("pods app=small-model ready=9", seconds=120)
    assert on_nodes(lab, "app=small-model") == [1, 4, 4]
    lab.apply(WASTE / "two-gpus.yaml")
    lab.until("pods app=big-model ready=1", seconds=30)


def test_time_slicing_announces_more_and_has_no_wall(lab: Lab) -> None:
    lab.kube.kubectl("label", "node", "gpu-node-3", "nvidia.com/device-plugin.config=time-slicing-2")
    announced(lab, "gpu-node-3", **{GPU: "8"})
    lab.apply(WASTE / "greedy.yaml")
    lab.until("pods app=tenant stuck=1", "pods app=tenant ready=4", seconds=120)
    lab.apply(WASTE / "solutions" / "shared.yaml")
    lab.until("deployment/tenant available", "pods app=tenant total=5", seconds=120)
    assert len(allocatable(lab, "gpu-node-3")) == 1
    lab.reset()  # with the GPUs in use until a moment ago
    announced(lab, "gpu-node-3", **{GPU: "4"})


def test_a_gpu_that_cannot_be_cut_says_so_and_stays_whole(lab: Lab) -> None:
    lab.kube.kubectl("label", "node", "gpu-node-2", "nvidia.com/mig.config=all-1g.5gb")
    state = "nvidia.com/mig.config.state"
    polling.until(lambda: lab.get("node/gpu-node-2").labels.get(state) == "failed", "failed", seconds=20)
    announced(lab, "gpu-node-2", **{GPU: "4"})
    lab.reset()
    polling.until(lambda: state not in lab.get("node/gpu-node-2").labels, "no state", seconds=20)


def test_a_joined_a100_in_slices_holds_six_models_and_lets_the_seventh_fail_alone(lab: Lab) -> None:
    lab.nodes.plug_in("gpu-node-a100", gpus=1, gpu_product=A100)
    with pytest.raises(BadInput, match="can be added"):
        lab.nodes.plug_in("gpu-node-a100")
    lab.kube.kubectl("label", "node", "gpu-node-a100", "nvidia.com/mig.config=all-1g.5gb")
    announced(lab, "gpu-node-a100", **{SLICE: "7"})
    lab.apply(WASTE / "solutions" / "mig.yaml", WASTE / "too-large.yaml")
    lab.until("pods app=sliced ready=6", "pod/too-large restarts>=1", seconds=120)
    assert "total capacity of 4.75 GiB" in lab.kube.logs("too-large", previous=True)
    assert on_nodes(lab, "app=sliced") == [6]
    lab.until("pods app=sliced restarts=0", seconds=1)


def test_a_gpu_that_nobody_listed_is_refused(cluster: Embedded) -> None:
    with pytest.raises(BadInput, match="NVIDIA-X1"):
        cluster.plug_in(NewNode("gpu-node-x", gpus=1, gpu_product="NVIDIA-X1"))
    assert cluster.plug_out() == []
