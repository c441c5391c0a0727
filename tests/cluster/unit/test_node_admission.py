"""A node gives a pod everything that it asks for, or nothing at all."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from localcluster.node.admission import admit, release
from localcluster.node.config import NodeSpec
from localcluster.node.fitting import Rejection
from localcluster.node.network.networks import Loopback
from localcluster.node.network.ports import Ports
from localcluster.node.pod.machine import Machine
from tests.cluster.unit.node_world import machine, pod

SPEC = NodeSpec("gpu-node-1", 1, gpus=4)


def container(name: str, *, gpus: str = "0", ports: tuple[int, ...] = ()) -> dict[str, Any]:
    declared = [{"containerPort": port} for port in ports]
    return {"name": name, "ports": declared, "resources": {"limits": {"nvidia.com/gpu": gpus}}}


def holdings(node: Machine) -> tuple[int, int, int]:
    """Addresses, GPUs and ports that are taken."""
    assert isinstance(node.network, Loopback)
    gpus = 4 - len(node.inventory.free(node.name))
    return len(node.ips._owners), gpus, len(node.network._ports._taken)


@pytest.mark.parametrize(
    ("containers", "error", "message"),
    [
        ([container("a", gpus="4"), container("b", gpus="1")], Rejection, "Requested: 1, Available: 0"),
        ([container("a", gpus="1k")], Rejection, "Requested: 1000, Available: 4"),
        ([container("a", gpus="1", ports=(80, 81)), container("b", ports=(80,))], OSError, "no free port"),
    ],
)
def test_what_a_refused_pod_was_given_is_free_again(
    tmp_path: Path, containers: list[dict[str, Any]], error: type[Exception], message: str
) -> None:
    async def scenario() -> None:
        network = Loopback(tmp_path)
        network._ports = Ports(range(22_000, 22_002))
        async with machine(tmp_path, network, SPEC) as node:
            with pytest.raises(error, match=message):
                await admit(pod(node, "refused", *containers))
            assert holdings(node) == (0, 0, 0)
            await admit(fits := pod(node, "fits", container("a", gpus="4", ports=(80, 80))))
            assert holdings(node) == (1, 4, 1)
            release(fits)
            assert holdings(node) == (0, 0, 0)

    asyncio.run(scenario())


def test_a_node_without_a_free_address_gives_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with machine(tmp_path, Loopback(tmp_path), SPEC) as node:
            held = [node.ips.take("others") for _ in range(253)]
            waits = pod(node, "waits", container("a", gpus="1", ports=(80,)))
            with pytest.raises(OSError, match=r"no free address in 10\.244\.1\.0/24"):
                await admit(waits)
            assert holdings(node) == (253, 0, 0)
            node.ips.release(held[7], "others")
            await admit(waits)
            assert (waits.record.pod_ip, waits.record.over) == (held[7], False)

    asyncio.run(scenario())


def test_a_host_port_has_one_holder_whoever_chose_the_node(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with machine(tmp_path, Loopback(tmp_path), SPEC) as node:
            asks = {"name": "a", "ports": [{"containerPort": 80, "hostPort": 80}]}
            first, second = pod(node, "first", asks), pod(node, "second", asks)
            second.object["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
            for each in (first, second):
                node.table.put(each.view)
            await admit(first)
            with pytest.raises(Rejection) as refused:
                await admit(second)
            assert refused.value.reason == "NodePorts"
            release(first)
            await admit(second)

    asyncio.run(scenario())
