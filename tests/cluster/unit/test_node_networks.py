"""What the agent asks of a network: pods with their own addresses, or ports of this machine."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster import spawn
from localcluster.netns import furnish
from localcluster.node.kubelet.port_forward import _connected
from localcluster.node.network.networks import Loopback, OwnNetworks
from localcluster.node.pod.pods import RunningContainer, RunningPod
from tests.cluster.unit.netns_world import REFUSED, Fresh, network, usable

ONE, OTHER = "10.244.1.2", "10.244.2.2"
SLEEP = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]


@pytest.fixture(scope="module")
def fresh() -> Iterator[Fresh]:
    with Fresh() as worker:
        yield worker


namespaces = pytest.mark.skipif(not usable(), reason=REFUSED)


def own() -> OwnNetworks:
    furnish.links(furnish.OWN)
    return OwnNetworks()


def _node() -> tuple[str, str]:
    ip = own().node_ip(3)
    with socket.create_server((ip, 10250)) as server, socket.create_connection((ip, 10250)) as client:
        server.accept()[0].close()
        return ip, client.getpeername()[0]


@namespaces
def test_a_nodes_address_can_be_listened_on(fresh: Fresh) -> None:
    assert fresh.call(_node) == ("172.18.0.4", "172.18.0.4")


@namespaces
def test_ports_are_those_that_are_declared(fresh: Fresh) -> None:
    assert fresh.call(_ports) == ({"80": f"{ONE}:80", "8000": f"{ONE}:8000"}, (ONE, 80), ("db.example", 5432))


def _ports() -> tuple[dict[str, str], tuple[str, int], tuple[str, int]]:
    networks = own()
    return networks.ports(ONE, [80, 8000]), networks.where(ONE, 80), networks.where("db.example", 5432)


def _of_the_node() -> list[bool]:
    """A pod on its node's network has none of its own, before and after the agent's restart."""
    networks, before = own(), network()
    ip = networks.node_ip(1)
    networks.make("host", ip)
    with networks.inside("host"):
        seen = [network() == before]
    seen.append(networks.adopt("host", ip, {}, [1]))
    with networks.inside("host"):
        seen.append(network() == before)
    networks.drop("host", "")
    return seen


@namespaces
def test_a_pod_on_its_nodes_network_stays_there(fresh: Fresh) -> None:
    assert fresh.call(_of_the_node) == [True, True, True]


def _adopted() -> list[bool]:
    networks, again, here = own(), OwnNetworks(), network()
    networks.make("one", ONE)
    with networks.inside("one"):
        process, there = spawn.popen(SLEEP), network()
    seen = [again.adopt("one", ONE, {}, [process.pid])]
    with again.inside("one"):
        seen.append(network() == there)
    seen.append(again.adopt("waits", OTHER, {}, []))  # it has no process yet
    with again.inside("waits"):
        seen.append(network() not in {here, there})
    process.kill()
    process.wait()
    return [*seen, not again.adopt("gone", ONE, {}, [process.pid])]


@namespaces
def test_a_pod_is_taken_up_with_its_processes_or_gets_a_new_network(fresh: Fresh) -> None:
    assert fresh.call(_adopted) == [True] * 5


def _forwarded() -> list[str]:
    networks, servers = own(), []
    for uid, ip in (("one", ONE), ("other", OTHER)):
        networks.make(uid, ip)
        with networks.inside(uid):
            servers.append(socket.create_server(("127.0.0.1", 80)))  # nobody else's loopback

    async def scenario() -> list[str]:
        said = []
        for uid, server in (("one", servers[0]), ("other", servers[1])):
            pod = RunningPod(uid, "ns", uid, "node", Path("/nowhere"))
            async with _connected(pod, networks, "80") as (reader, _):
                client, _ = server.accept()
                with client:
                    client.sendall(uid.encode())
                said.append((await reader.read()).decode())
            try:
                async with _connected(pod, networks, "81"):
                    said.append("connected")
            except ConnectionRefusedError as error:
                said.append(str(error))
        return said

    said = asyncio.run(scenario())
    for server in servers:
        server.close()
    return said


@namespaces
def test_port_forward_connects_in_the_pods_own_network(fresh: Fresh) -> None:
    refused = "failed to connect to localhost:81 inside the pod: connection refused; nothing in it listens"
    assert fresh.call(_forwarded) == ["one", refused, "other", refused]


def test_without_isolation_ports_are_this_machines(tmp_path: Path) -> None:
    networks = Loopback(tmp_path)
    taken = networks.ports(ONE, [80])
    host, _, number = taken["80"].partition(":")
    assert networks.node_ip(3) == host == "127.0.0.1"
    assert networks.where(ONE, 80) == ("127.0.0.1", 80)  # not yet published: the pod's own declaration
    networks.publish(ONE, {80: taken["80"]})
    assert networks.where(ONE, 80) == ("127.0.0.1", int(number))
    assert networks.where("192.0.2.7", 80) == ("192.0.2.7", 80)
    assert networks.where("db.example", 5432) == ("db.example", 5432)
    networks.drop("uid", ONE)
    assert networks.where(ONE, 80) == ("127.0.0.1", 80)
    assert Loopback(tmp_path).adopt("uid", ONE, {"main": taken}, [])


def test_forwarding_without_isolation_follows_the_declaration(tmp_path: Path) -> None:
    container = RunningContainer("main", "labkit://1", "i", "i", tmp_path, tmp_path / "log")
    with socket.create_server(("127.0.0.1", 0)) as server:
        container.ports = {80: f"127.0.0.1:{server.getsockname()[1]}"}
        pod = RunningPod("uid", "ns", "web", "node", tmp_path, containers={"main": container})

        async def scenario() -> str:
            async with _connected(pod, Loopback(tmp_path), "80") as (_, writer):
                return str(writer.get_extra_info("peername")[1])

        assert asyncio.run(scenario()) == str(server.getsockname()[1])
