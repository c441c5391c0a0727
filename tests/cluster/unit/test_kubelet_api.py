"""A simulated kubelet's port over real TLS, with real processes of this machine as containers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from localcluster import spawn
from localcluster.embedded import pki
from localcluster.gpus.dcgm import GpuMetrics
from localcluster.gpus.device import devices_of
from localcluster.gpus.inventory import Inventory
from localcluster.node.config import NodeSpec
from localcluster.node.kubelet.kubelet_api import KubeletServer, NodeView
from localcluster.node.kubelet.log_reader import LogTimes
from localcluster.node.kubelet.stats import Sampler
from localcluster.node.network.networks import Loopback
from localcluster.node.pod.pods import PodTable, RunningContainer, RunningPod
from localcluster.node.process import processes

pytestmark = pytest.mark.anyio

NODE = NodeSpec("gpu-node-1", 1, gpus=4)
API_SERVER = "apiserver-kubelet-client"
EXEC = "/exec/default/web/server"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    pki.ensure(folder, pki.identities({NODE.name: "127.0.0.1"}))
    return folder


@dataclass
class Node:
    """A running kubelet port with one pod, whose container is a process of ours."""

    url: str
    pki: Path
    pod: RunningPod
    container: RunningContainer
    inventory: Inventory
    sessions: list[aiohttp.ClientSession] = field(default_factory=list)

    def client(self, identity: str | None = API_SERVER) -> aiohttp.ClientSession:
        tls = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        if identity:
            tls.load_cert_chain(self.pki / f"{identity}.crt", self.pki / f"{identity}.key")
        session = aiohttp.ClientSession(self.url, connector=aiohttp.TCPConnector(ssl=tls))
        self.sessions.append(session)
        return session

    async def get(self, path: str, **query: str) -> tuple[int, str]:
        async with self.client().get(path, params=query) as response:
            return response.status, await response.text()

    async def log(self, **query: str) -> str:
        status, text = await self.get("/containerLogs/default/web/server", **query)
        assert status == 200
        return text


@asynccontextmanager
async def kubelet(folder: Path, certificates: Path, command: str = "sleep 1000") -> AsyncIterator[Node]:
    process = spawn.popen(["bash", "-c", command], log=folder / "0.log")
    container = RunningContainer(
        "server", "labkit://c0ffee", "img", "", folder, folder / "0.log", pid=process.pid,
        started_at=time.time(), env={"PATH": os.environ["PATH"], "GREETING": "hello"}, isolated=False,
    )  # fmt: skip
    pod = RunningPod("uid-1", "default", "web", NODE.name, folder, containers={"server": container})
    pods = PodTable()
    pods.put(pod)
    inventory = Inventory(folder / "gpus")
    inventory.add(devices_of(lab="t", node=NODE.name, count=4, product="NVIDIA-L4", memory_mib=23034))
    gpus = GpuMetrics(inventory, idle_watts={"NVIDIA-L4": 16.0})
    server = KubeletServer(
        NodeView(NODE, pods, Sampler(pods), gpus, LogTimes()), certificates, Loopback(certificates)
    )
    node = Node(f"https://127.0.0.1:{await server.start()}", certificates, pod, container, inventory)
    try:
        yield node
    finally:
        for session in node.sessions:
            await session.close()
        await server.stop()
        for pid in processes.tree(process.pid):
            processes.send(pid, signal.SIGKILL)
        process.wait()


@dataclass
class Outcome:
    """What came over the channels of one exec."""

    stdout: bytes = b""
    stderr: bytes = b""
    status: dict[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        if self.status["status"] == "Success":
            return 0
        return int(self.status["details"]["causes"][0]["message"])


async def execute(node: Node, *command: str, stdin: bytes | None = None, tty: bool = False) -> Outcome:
    query = [("command", word) for word in command] + [("output", "1"), ("error", "1")]
    query += [("input", "1")] * (stdin is not None) + [("tty", "1")] * tty
    outcome = Outcome()
    async with node.client().ws_connect(EXEC, params=query, protocols=["v5.channel.k8s.io"]) as socket:
        assert socket.protocol == "v5.channel.k8s.io"
        if tty:
            await socket.send_bytes(b"\x04" + json.dumps({"Width": 91, "Height": 17}).encode())
        if stdin is not None:
            await socket.send_bytes(b"\x00" + stdin)
            await socket.send_bytes(b"\xff\x00")
        async for message in socket:
            channel, data = message.data[0], message.data[1:]
            if channel == 1:
                outcome.stdout += data
            elif channel == 2:
                outcome.stderr += data
            elif channel == 3:
                outcome.status = json.loads(data)
    return outcome


async def eventually(probe: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the probe is true."""
    async with asyncio.timeout(10):
        while not await probe():
            await asyncio.sleep(0.02)


async def lines(node: Node, count: int) -> None:
    """Wait until the container has written that many lines."""

    async def written() -> bool:
        return node.container.log_path.read_bytes().count(b"\n") >= count

    await eventually(written)


async def test_only_the_api_server_and_prometheus_get_in(tmp_path: Path, certificates: Path) -> None:
    async with kubelet(tmp_path, certificates) as node:
        seen = {}
        for who in (API_SERVER, "prometheus", "admin", "kube-proxy"):
            for path in ("/pods", "/metrics/cadvisor"):
                async with node.client(who).get(path) as response:
                    seen[who, path] = response.status
        assert seen == {
            (API_SERVER, "/pods"): 200,
            (API_SERVER, "/metrics/cadvisor"): 200,
            ("prometheus", "/pods"): 403,
            ("prometheus", "/metrics/cadvisor"): 200,
            ("admin", "/pods"): 403,
            ("admin", "/metrics/cadvisor"): 403,
            ("kube-proxy", "/pods"): 403,
            ("kube-proxy", "/metrics/cadvisor"): 403,
        }
        with pytest.raises(aiohttp.ClientError):
            await node.client(None).get("/healthz")


async def test_the_list_of_pods_has_their_whole_metadata(tmp_path: Path, certificates: Path) -> None:
    async with kubelet(tmp_path, certificates) as node:
        node.pod.metadata = {"labels": {"app": "web"}, "deletionTimestamp": "2026-01-01T00:00:00Z"}
        _, text = await node.get("/pods")
        (item,) = json.loads(text)["items"]
        assert item["metadata"] == {
            **node.pod.metadata,
            "name": "web",
            "namespace": "default",
            "uid": "uid-1",
        }


async def test_logs_by_lines_bytes_and_time(tmp_path: Path, certificates: Path) -> None:
    async with kubelet(tmp_path, certificates, "printf 'a\\nb\\rB\\nc'; sleep 1000") as node:
        await lines(node, 2)
        assert await node.log() == "a\nb\rB\nc"
        assert await node.log(tailLines="2") == "b\rB\nc"
        assert await node.log(tailLines="0") == ""
        assert await node.log(tailLines="99") == "a\nb\rB\nc"
        assert await node.log(limitBytes="3") == "a\nb"
        assert await node.log(sinceSeconds="3600") == "a\nb\rB\nc"
        assert await node.log(sinceTime="2100-01-01T00:00:00Z") == ""
        stamped = (await node.log(timestamps="true")).splitlines()[0]
        assert stamped.startswith("20")
        assert stamped.endswith("Z a")
        assert (await node.get("/containerLogs/default/web/server", tailLines="x"))[0] == 400


async def test_followed_logs_end_with_the_container_and_miss_nothing(
    tmp_path: Path, certificates: Path
) -> None:
    command = "for i in $(seq 40); do echo line $i; sleep 0.01; done; printf last"
    async with kubelet(tmp_path, certificates, command) as node:
        following = asyncio.create_task(node.log(follow="true"))
        assert node.container.pid is not None
        await processes.ended(node.container.pid)
        node.container.pid = None
        text = await following
    assert text == "".join(f"line {i}\n" for i in range(1, 41)) + "last"


async def test_logs_that_are_not_there_are_refused_in_the_kubelets_words(
    tmp_path: Path, certificates: Path
) -> None:
    path = "/containerLogs/default/web/server"
    async with kubelet(tmp_path, certificates) as node:
        status, text = await node.get(path, previous="true")
        assert (status, text) == (400, 'previous terminated container "server" in pod "web" not found')
        node.container.log_path = tmp_path / "none.log"
        waiting = {"name": "server", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
        node.pod.status = {"containerStatuses": [waiting]}
        status, text = await node.get(path)
        assert (status, text) == (
            400,
            'container "server" in pod "web" is waiting to start: ImagePullBackOff',
        )
        assert (await node.get("/containerLogs/default/other/server"))[0] == 404


async def test_the_log_of_the_run_before(tmp_path: Path, certificates: Path) -> None:
    async with kubelet(tmp_path, certificates) as node:
        node.container.previous_log_path = tmp_path / "before.log"
        node.container.previous_log_path.write_text("I crashed\n")
        assert await node.log(previous="true") == "I crashed\n"


async def test_exec_passes_streams_and_exit_code(tmp_path: Path, certificates: Path) -> None:
    async with kubelet(tmp_path, certificates) as node:
        told = await execute(node, "sh", "-c", "echo $GREETING; echo oops >&2; exit 3")
        assert (told.stdout, told.stderr, told.exit_code) == (b"hello\n", b"oops\n", 3)
        assert told.status["reason"] == "NonZeroExitCode"
        assert (await execute(node, "true")).exit_code == 0


async def test_exec_ends_standard_input_when_the_client_does(tmp_path: Path, certificates: Path) -> None:
    body = bytes(range(256)) * 4000
    async with kubelet(tmp_path, certificates) as node:
        told = await execute(node, "cat", stdin=body)
    assert told.stdout == body


async def test_exec_with_a_terminal(tmp_path: Path, certificates: Path) -> None:
    async with kubelet(tmp_path, certificates) as node:
        script = "until [ $(stty size | cut -c1-2) = 17 ]; do :; done; tty </dev/tty; stty size; exit 4"
        told = await execute(node, "bash", "-c", script, tty=True)
    assert told.stdout.endswith(b"\r\n17 91\r\n")
    assert b"/dev/" in told.stdout
    assert told.exit_code == 4


async def test_exec_of_a_missing_program_fails_with_its_name(tmp_path: Path, certificates: Path) -> None:
    async with kubelet(tmp_path, certificates) as node:
        told = await execute(node, "no-such-program")
    assert told.status["status"] == "Failure"
    assert "no-such-program" in told.status["message"]


@pytest.mark.parametrize("protocols", [["channel.k8s.io"], []])
@pytest.mark.parametrize(("command", "last"), [("true", []), ("false", [b"non-zero exit code"])])
async def test_the_oldest_protocol_is_told_of_failures_only_and_in_words(
    tmp_path: Path, certificates: Path, protocols: list[str], command: str, last: list[bytes]
) -> None:
    async with kubelet(tmp_path, certificates) as node:
        query = [("command", command), ("output", "1")]
        async with node.client().ws_connect(EXEC, params=query, protocols=protocols) as socket:
            told = [message.data async for message in socket]
    assert [data[:1] for data in told] == [b"\x03"] * len(last)
    assert all(word in data for word, data in zip(last, told, strict=True))


async def test_a_protocol_that_is_not_spoken_is_refused_by_name(tmp_path: Path, certificates: Path) -> None:
    async with kubelet(tmp_path, certificates) as node:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await node.client().ws_connect(
                EXEC, params={"command": "true"}, protocols=["base64.channel.k8s.io"]
            )
        assert refused.value.status == 400


async def test_nothing_is_left_of_an_exec_whose_client_went_away(tmp_path: Path, certificates: Path) -> None:
    async with kubelet(tmp_path, certificates) as node:
        query = [
            ("command", "sh"),
            ("command", "-c"),
            ("command", "sleep 999 & echo $$; wait"),
            ("output", "1"),
        ]
        async with node.client().ws_connect(EXEC, params=query, protocols=["v5.channel.k8s.io"]) as socket:
            pid = int((await socket.receive()).data[1:])
            children = processes.tree(pid)
            assert len(children) == 2
        async with asyncio.timeout(10):
            for child in children:
                await processes.ended(child)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/attach/default/web/server", "not SPDY"),
        ("/portForward/default/web", "not SPDY"),
        (EXEC, "not SPDY"),
    ],
)
async def test_what_is_refused_points_to_the_way_to_go(
    tmp_path: Path, certificates: Path, path: str, words: str
) -> None:
    async with kubelet(tmp_path, certificates) as node, node.client().post(path) as response:
        assert response.status >= 400
        assert words in await response.text()


async def test_exec_into_a_container_that_ended_says_so_whatever_kubectl_speaks(
    tmp_path: Path, certificates: Path
) -> None:
    async with kubelet(tmp_path, certificates) as node:
        node.container.pid = None
        async with node.client().post(EXEC) as response:
            assert "is not running" in await response.text()


def values(page: str, name: str) -> dict[str, float]:
    found = (line.rpartition(" ") for line in page.splitlines() if line.startswith(f"{name}{{"))
    return {series: float(value) for series, _, value in found}


async def test_cpu_is_what_the_processes_used_plus_what_the_model_says(
    tmp_path: Path, certificates: Path
) -> None:
    command = "i=0; until [ $i = 60000 ]; do i=$((i+1)); done; echo done; sleep 1000"
    async with kubelet(tmp_path, certificates, command) as node:
        await lines(node, 1)
        name = "container_cpu_usage_seconds_total"
        usage = tmp_path / "usage.json"
        node.container.usage_files = (usage,)

        async def cpu() -> float:
            page = (await node.get("/metrics/cadvisor"))[1]
            assert "simulated" in page
            (series,) = [s for s in values(page, name) if 'container="server"' in s]
            assert 'namespace="default",pod="web"' in series
            return values(page, name)[series]

        burnt = await cpu()
        assert 0 < burnt < 60
        usage.write_text(json.dumps({"host_cpu_seconds_total": 100, "updated": time.time()}))

        async def counted() -> bool:
            return await cpu() >= burnt + 100

        await eventually(counted)
        usage.unlink()
        assert await cpu() >= burnt + 100  # a counter never falls


async def test_gpus_under_dcgms_names(tmp_path: Path, certificates: Path) -> None:
    async with kubelet(tmp_path, certificates) as node:
        (device,) = node.inventory.allocate("uid-1", node=NODE.name, count=1)
        node.container.gpus = (device,)
        told = {"memory_used_mib": 20000, "gpu_utilization": 0.93, "power_watts": 70, "updated": time.time()}
        (node.inventory.path(device) / "usage" / "uid-1.json").write_text(json.dumps(told))
        node.inventory.fail(node.inventory.devices()[3].uuid, "Xid 48: double-bit ECC error")
        page = (await node.get("/metrics/dcgm"))[1]
    held = f'{{gpu="0",UUID="{device}",device="nvidia0",modelName="NVIDIA L4",Hostname="gpu-node-1",'
    held += 'namespace="default",pod="web",container="server"}'
    expected = {"GPU_UTIL": 93, "FB_USED": 20000, "FB_FREE": 3034, "POWER_USAGE": 70, "XID_ERRORS": 0}
    for name, value in expected.items():
        assert values(page, f"DCGM_FI_DEV_{name}")[f"DCGM_FI_DEV_{name}{held}"] == value
    assert list(values(page, "DCGM_FI_DEV_POWER_USAGE").values()) == [70, 16, 16, 16]
    assert list(values(page, "DCGM_FI_DEV_XID_ERRORS").values()) == [0, 0, 0, 48]


async def test_the_summary_names_pods_and_their_use(tmp_path: Path, certificates: Path) -> None:
    async with kubelet(tmp_path, certificates) as node:
        summary = json.loads((await node.get("/stats/summary"))[1])
    assert summary["node"]["nodeName"] == NODE.name
    (pod,) = summary["pods"]
    assert pod["podRef"] == {"name": "web", "namespace": "default", "uid": "uid-1"}
    assert pod["containers"][0]["memory"]["workingSetBytes"] > 0
