"""What a Service costs: CPU of client, server and path, through kube-proxy's rules over our balancer.

Two labs, one after the other, with the same two pods and the same Service. In the second one nftables does
not work, so the node agent's balancer carries every byte. The name is looked up once: what is measured is the
way to the Service's address, not DNS, which is the same in both.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from labkit import reset
from labkit.kube import Kube
from localcluster import spawn
from localcluster.embedded.provider import Embedded
from localcluster.provider import Spec
from localcluster.toolchain.locate import BIN_DIR
from tests.bench.figures import Figure, median

ROUNDS = 5
STREAMS, EVENTS, CONNECTIONS = 20, 300, 2000
_NAMESPACE = "llm-lab"
_NO_NFT = '#!/bin/sh\n[ "$1" = --version ] && echo "nftables v1.0.6" && exit\nexit 1\n'

_SERVER = """
import asyncio, resource
async def serve(reader, writer):
    path = (await reader.readuntil(b"\\r\\n\\r\\n")).split()[1]
    if path == b"/cpu":
        used = resource.getrusage(resource.RUSAGE_SELF)
        writer.write(b"%.6f" % (used.ru_utime + used.ru_stime))
    for _ in range(int(path[1:]) if path[1:].isdigit() else 0):
        writer.write(b'data: {"choices": [{"text": " token"}]}\\n\\n')
        await writer.drain()
        await asyncio.sleep(0.01)
    writer.close()
async def main():
    async with await asyncio.start_server(serve, "0.0.0.0", 8000, backlog=1024) as server:
        await server.serve_forever()
asyncio.run(main())
"""
_CLIENT = """
import asyncio, resource, socket, sys
ADDRESS = socket.gethostbyname("web")
async def ask(path):
    reader, writer = await asyncio.open_connection(ADDRESS, 80)
    writer.write(b"GET /%s HTTP/1.0\\r\\n\\r\\n" % path.encode())
    events = 0
    last = b""
    async for line in reader:
        events += line.startswith(b"data")
        last = line
    writer.close()
    return events, last
async def main(streams, events, connections):
    before = float((await ask("cpu"))[1])
    begun = resource.getrusage(resource.RUSAGE_SELF)
    got = await asyncio.gather(*(ask(str(events)) for _ in range(streams)))
    assert sum(count for count, _ in got) == streams * events
    for _ in range(connections):
        await ask("0")
    used = resource.getrusage(resource.RUSAGE_SELF)
    after = float((await ask("cpu"))[1])
    print(used.ru_utime + used.ru_stime - begun.ru_utime - begun.ru_stime + after - before)
asyncio.run(main(*map(int, sys.argv[1:])))
"""


@dataclass(frozen=True)
class _Spent:
    """CPU seconds of client, server and node agent: for each event of a stream, and for each connection."""

    event: float
    connection: float


def figures() -> list[Figure]:
    """Both ratios."""
    with tempfile.TemporaryDirectory(prefix="labkit-no-nft-") as folder:
        nft = Path(folder) / "nft"
        nft.write_text(_NO_NFT)
        nft.chmod(nft.stat().st_mode | stat.S_IXUSR)
        rules = _measured("bench-rules", {})
        search = os.pathsep.join([folder, os.environ["PATH"]])
        balancer = _measured("bench-balancer", {BIN_DIR: folder, "PATH": search})
    return [
        _ratio("CPU of a streamed event, over our balancer", rules.event, balancer.event, 0.9),
        _ratio("CPU of a connection, over our balancer", rules.connection, balancer.connection, 0.6),
    ]


def _ratio(name: str, ours: float, before: float, target: float) -> Figure:
    note = f"{1e6 * ours:.0f} against {1e6 * before:.0f} µs"
    return Figure(name, ours / before, "×", target, ROUNDS, note)


def _measured(name: str, env: dict[str, str]) -> _Spent:
    with _lab(name, env) as (lab, kube):
        agents = [p for p in map(_process, spawn.marked(lab.layout.dir)) if _carries(p)]
        _cpu(kube, agents, 1, 1, 10)  # the first connections load modules
        streams = [_cpu(kube, agents, STREAMS, EVENTS, 0) / (STREAMS * EVENTS) for _ in range(ROUNDS)]
        connections = [_cpu(kube, agents, 0, 0, CONNECTIONS) / CONNECTIONS for _ in range(ROUNDS)]
    return _Spent(median(streams), median(connections))


def _cpu(kube: Kube, agents: list[psutil.Process], *counts: int) -> float:
    before = _spent(agents)
    said = kube.kubectl("exec", "client", "--", "python", "-c", _CLIENT, *map(str, counts))
    return float(said.split()[-1]) + _spent(agents) - before


def _spent(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _carries(process: psutil.Process) -> bool:
    """Whether it is the node agent, or the balancer, which is a process of its own."""
    return any(word.startswith("localcluster.node") for word in process.cmdline())


def _process(proc: spawn.Proc) -> psutil.Process:
    return psutil.Process(proc.pid)


@contextmanager
def _lab(name: str, env: dict[str, str]) -> Iterator[tuple[Embedded, Kube]]:
    before = {key: os.environ.get(key) for key in env}
    os.environ.update(env)
    lab = Embedded(name)
    lab.up(Spec(name=name, gpu_nodes=0, cpu_nodes=1))
    try:
        kube = Kube(lab.kubeconfig(), namespace=_NAMESPACE)
        reset.run(kube, lab, lambda _line: None)
        kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(_objects()))
        kube.until("pod/web ready", "pod/client ready", seconds=60)
        yield lab, kube
    finally:
        lab.down()
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})


def _objects() -> list[dict[str, Any]]:
    port = {"port": 80, "targetPort": 8000}
    service = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [port]}}
    web = _pod("web", ["python", "-c", _SERVER])
    web["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8000}}
    idle = _pod("client", ["sleep", "infinity"])
    return [web, idle, {"apiVersion": "v1", "kind": "Service", **service}]


def _pod(name: str, command: list[str]) -> dict[str, Any]:
    container = {"name": "main", "image": "registry.lab:5000/llm-inference:1.0", "command": command}
    spec = {"imagePullSecrets": [{"name": reset.PULL_SECRET}], "containers": [container]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {**spec, "terminationGracePeriodSeconds": 1},
    }
