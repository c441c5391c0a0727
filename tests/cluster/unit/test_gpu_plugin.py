"""The device plugin as a process, at the sockets of a kubelet: what it tells, hands out and survives.

The real kubelet has its turn in tests/cluster/kind/test_gpu_plugin.py.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import grpc
import pytest

from localcluster import spawn
from localcluster.gpus.device import devices_of
from localcluster.gpus.inventory import Inventory
from localcluster.gpus.plugin.kubelet import device_plugin_pb2 as api
from localcluster.gpus.sharing import Sharing, mig_slice
from tests.cluster.unit.kubelet_world import WITHIN, kubelet
from tests.cluster.unit.node_world import away

pytestmark = pytest.mark.anyio

NODE = "worker-1"
A100 = "NVIDIA-A100-SXM4-40GB"
DEVICES = devices_of(lab="lab", node=NODE, count=4, product="NVIDIA-L4", memory_mib=23034)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gpu-") as made:  # a socket's path has at most 107 characters
        yield Path(made)


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an API server that is away for as long as the tests run."""
    return away(tmp_path_factory.mktemp("pki"), NODE)


@dataclass
class Plugin:
    """A running plugin process."""

    process: spawn.Child
    port: int
    inventory: Inventory

    async def metrics(self) -> list[str]:
        url = f"http://127.0.0.1:{self.port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return (await answer.text()).splitlines()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@asynccontextmanager
async def plugin(folder: Path, kubeconfig: Path, *more: str) -> AsyncIterator[Plugin]:
    port = free_port()
    words = ["--node", NODE, "--kubelet", folder, "--gpus", folder / "gpus", "--port", port, "--clock", 15]
    words += ["--kubeconfig", kubeconfig, "--cpu-scale", 0.025, *more]
    process = spawn.popen(
        [sys.executable, "-m", "localcluster.gpus.plugin", *map(str, words)], log=folder / "plugin.log"
    )
    try:
        yield Plugin(process, port, Inventory(folder / "gpus"))
    finally:
        process.kill()
        process.wait()


async def ended(process: spawn.Child) -> int:
    async with asyncio.timeout(WITHIN):
        while process.poll() is None:
            await asyncio.sleep(0.05)
    return process.returncode


async def test_it_registers_its_devices(folder: Path, kubeconfig: Path) -> None:
    async with kubelet(folder) as node, plugin(folder, kubeconfig):
        assert await node.healthy(4) == [device.uuid for device in DEVICES]
        [asked] = node.registered
        assert (asked.version, asked.resource_name) == ("v1beta1", "nvidia.com/gpu")


async def test_it_waits_for_a_kubelet_that_is_late(folder: Path, kubeconfig: Path) -> None:
    async with plugin(folder, kubeconfig) as late:
        async with asyncio.timeout(WITHIN):
            while not (late.inventory.folder / DEVICES[0].uuid / "device.json").exists():
                await asyncio.sleep(0.05)
        async with kubelet(folder) as node:
            await node.healthy(4)


async def test_a_container_finds_its_devices_and_may_write_only_what_it_uses(
    folder: Path, kubeconfig: Path
) -> None:
    async with kubelet(folder) as node, plugin(folder, kubeconfig) as running:
        await node.healthy(4)
        first, second = DEVICES[0].uuid, DEVICES[1].uuid
        answer = await node.allocate(first, second)
        assert dict(answer.envs) == {
            "NVIDIA_VISIBLE_DEVICES": f"{first},{second}",
            "LABKIT_GPU_DIR": "/run/labkit/gpus",
            "LABKIT_CLOCK": "15",
        }
        places = [(m.host_path, m.container_path, m.read_only) for m in answer.mounts]
        assert places[:2] == [
            (f"{folder}/gpus/{first}", f"/run/labkit/gpus/{first}", True),
            (f"{folder}/gpus/{first}/usage", f"/run/labkit/gpus/{first}/usage", False),
        ]
        assert running.inventory.path(first).joinpath("usage").stat().st_mode & 0o7777 == 0o1777


async def test_a_new_holder_finds_no_trace_of_the_last_one(folder: Path, kubeconfig: Path) -> None:
    async with kubelet(folder) as node, plugin(folder, kubeconfig) as running:
        await node.healthy(4)
        old = running.inventory.path(DEVICES[0].uuid) / "usage" / "old.json"
        other = running.inventory.path(DEVICES[1].uuid) / "usage" / "other.json"
        for file in (old, other):
            file.write_text("{}")
        await node.allocate(DEVICES[0].uuid)
        assert (old.exists(), other.exists()) == (False, True)


async def test_a_device_of_another_node_is_refused(folder: Path, kubeconfig: Path) -> None:
    async with kubelet(folder) as node, plugin(folder, kubeconfig):
        await node.healthy(4)
        with pytest.raises(grpc.aio.AioRpcError, match="worker-1 has no GPU-elsewhere"):
            await node.allocate("GPU-elsewhere")


async def test_it_prefers_the_lowest_index_and_takes_what_it_must(folder: Path, kubeconfig: Path) -> None:
    uuids = [device.uuid for device in DEVICES]
    asked = api.ContainerPreferredAllocationRequest(
        available_deviceIDs=reversed(uuids), must_include_deviceIDs=[uuids[3]], allocation_size=2
    )
    async with kubelet(folder) as node, plugin(folder, kubeconfig):
        await node.healthy(4)
        async with node.plugin() as stub:
            request = api.PreferredAllocationRequest(container_requests=[asked])
            [answer] = (await stub.GetPreferredAllocation(request)).container_responses
    assert list(answer.deviceIDs) == [uuids[3], uuids[0]]


async def test_a_failed_gpu_is_told_at_once_and_comes_back(folder: Path, kubeconfig: Path) -> None:
    async with kubelet(folder) as node, plugin(folder, kubeconfig) as running:
        await node.healthy(4)
        running.inventory.fail(DEVICES[2].uuid, "Xid 79: GPU has fallen off the bus")
        assert DEVICES[2].uuid not in await node.healthy(3)
        assert len(node.devices) == 4  # capacity stays
        running.inventory.heal(DEVICES[2].uuid)
        await node.healthy(4)


async def test_it_registers_again_with_a_kubelet_that_restarted(folder: Path, kubeconfig: Path) -> None:
    async with plugin(folder, kubeconfig) as running:
        async with kubelet(folder) as node:
            await node.healthy(4)
            running.inventory.fail(DEVICES[1].uuid, "Xid 48")
            await node.healthy(3)
        async with kubelet(folder) as node:
            await node.healthy(3)
            assert (await node.allocate(DEVICES[0].uuid)).envs["NVIDIA_VISIBLE_DEVICES"] == DEVICES[0].uuid


async def test_kill_9_and_a_new_plugin_disturb_no_holder(folder: Path, kubeconfig: Path) -> None:
    async with kubelet(folder) as node:
        async with plugin(folder, kubeconfig) as first:
            await node.healthy(4)
            await node.allocate(DEVICES[0].uuid)
            file = first.inventory.path(DEVICES[0].uuid) / "usage" / "pod.json"
            file.write_text("{}")
            first.process.kill()
            await node.healthy(0)
        async with plugin(folder, kubeconfig):
            await node.healthy(4)
            assert file.exists()
            assert [request.endpoint for request in node.registered] == ["labkit-gpu.sock"] * 2


async def test_sigterm_ends_it_cleanly(folder: Path, kubeconfig: Path) -> None:
    async with kubelet(folder) as node, plugin(folder, kubeconfig) as running:
        await node.healthy(4)
        running.process.send_signal(signal.SIGTERM)
        assert await ended(running.process) == 0
        assert [path.name for path in node.plugins.glob("*.sock")] == ["kubelet.sock"]


async def test_its_metrics_name_the_holder_and_the_simulated_cpu(folder: Path, kubeconfig: Path) -> None:
    async with kubelet(folder) as node, plugin(folder, kubeconfig) as running:
        await node.healthy(4)
        uuid = DEVICES[0].uuid
        used = {"memory_used_mib": 20000, "host_cpu_seconds_total": 12.0, "updated": time.time()}
        (running.inventory.path(uuid) / "usage" / "pod.json").write_text(json.dumps(used))
        node.give(uuid, pod="web-1")
        page = await running.metrics()
    holder = 'namespace="llm-lab",pod="web-1",container="server"'
    device = f'gpu="0",UUID="{uuid}",device="nvidia0",modelName="NVIDIA L4",Hostname="{NODE}"'
    assert f"DCGM_FI_DEV_FB_USED{{{device},{holder}}} 20000" in page
    assert f"labkit_simulated_cpu_usage_seconds_total{{{holder}}} 0.3" in page  # 12 s at a scale of 0.025
    assert len([line for line in page if line.startswith("DCGM_FI_DEV_FB_USED{")]) == 4


async def test_its_metrics_keep_the_holder_while_the_kubelet_is_away(folder: Path, kubeconfig: Path) -> None:
    async with plugin(folder, kubeconfig) as running:
        async with kubelet(folder) as node:
            await node.healthy(4)
            node.give(DEVICES[0].uuid, pod="web-1")
            await running.metrics()
        assert any('pod="web-1"' in line for line in await running.metrics())


async def test_a_shared_device_has_an_id_for_each_tenant_and_the_emptiest_comes_first(
    folder: Path, kubeconfig: Path
) -> None:
    (folder / "gpus").mkdir()
    Sharing(replicas=2).save(folder / "gpus" / f"{NODE}.sharing.json")  # as before a restart
    first, second = DEVICES[0].uuid, DEVICES[1].uuid
    asked = api.ContainerPreferredAllocationRequest(
        available_deviceIDs=[f"{first}::1", f"{second}::1", f"{second}::0"], allocation_size=1
    )
    async with kubelet(folder) as node, plugin(folder, kubeconfig) as running:
        told = await node.healthy(8)
        assert told[:2] == [f"{first}::0", f"{first}::1"]
        async with node.plugin() as stub:
            request = api.PreferredAllocationRequest(container_requests=[asked])
            [answer] = (await stub.GetPreferredAllocation(request)).container_responses
        assert list(answer.deviceIDs) == [f"{second}::0"]
        node.give(f"{first}::0", pod="web-1")
        used = running.inventory.path(first) / "usage" / "web-1.json"
        used.write_text("{}")
        given = await node.allocate(f"{first}::1")
        assert given.envs["NVIDIA_VISIBLE_DEVICES"] == first
        assert used.exists(), "its other tenant lives"
        assert any(f'UUID="{first}"' in line and 'pod="web-1"' in line for line in await running.metrics())


async def test_slices_are_a_resource_of_their_own(folder: Path, kubeconfig: Path) -> None:
    (folder / "gpus").mkdir()
    cut = mig_slice(A100, "1g.5gb")
    Sharing(mig=cut).save(folder / "gpus" / f"{NODE}.sharing.json")
    async with kubelet(folder) as node, plugin(folder, kubeconfig, "--product", A100, "--count", "1"):
        told = await node.healthy(7)
        assert all(name.startswith("MIG-") for name in told)
        [asked] = node.registered
        assert (asked.resource_name, asked.endpoint) == ("nvidia.com/mig-1g.5gb", "labkit-mig-1g.5gb.sock")
        assert (await node.allocate(told[3])).envs["NVIDIA_VISIBLE_DEVICES"] == told[3]
