"""The balancer with real sockets: who gets a connection, and what happens to its bytes."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from localcluster.node.network.addresses import AddressBook
from localcluster.node.network.balancer import Balancer
from localcluster.node.network.service_table import Frontend, ServiceTable

WEB = "shop/web:80"
pytestmark = pytest.mark.anyio
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with what came, after the client has ended its half."""
    writer.write(await reader.read())
    await writer.drain()
    writer.close()


def naming(name: str) -> Handler:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name.encode())
        writer.close()
        await reader.read()

    return answer


class Pods:
    """Servers on loopback that stand for pods, published in the lab's address book."""

    def __init__(self, lab: Path) -> None:
        self.book = AddressBook(lab)
        self.servers: list[asyncio.Server] = []
        self.open: list[asyncio.StreamWriter] = []

    async def add(self, ip: str, handler: Handler) -> tuple[str, int]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.open.append(writer)
            await handler(reader, writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.servers.append(server)
        self.book.publish(ip, {8000: f"127.0.0.1:{server.sockets[0].getsockname()[1]}"})
        return ip, 8000

    async def close(self) -> None:
        for server in self.servers:
            server.close()
        for writer in self.open:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def lab(folder: Path) -> AsyncIterator[tuple[Pods, Balancer]]:
    pods = Pods(folder)
    with Balancer(folder, clock=15, own=False) as balancer:
        yield pods, balancer
    await pods.close()


def port(folder: Path, name: str = WEB) -> int:
    host, _, number = json.loads((folder / "services.json").read_text())[name].partition(":")
    assert host == "127.0.0.1"
    return int(number)


async def ask(number: int, text: bytes = b"") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    try:
        writer.write(text)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()


async def test_new_connections_are_spread_at_random(tmp_path: Path) -> None:
    random.seed(7)
    async with lab(tmp_path) as (pods, balancer):
        ends = [await pods.add(f"10.244.1.{i}", naming(str(i))) for i in range(3)]
        balancer.sync({WEB: Frontend(tuple(ends))})
        answers = [await ask(port(tmp_path)) for _ in range(90)]
    counts = {a: answers.count(a) for a in set(answers)}
    assert set(counts) == {b"0", b"1", b"2"}
    assert min(counts.values()) > 15
    assert answers[:6] != [b"0", b"1", b"2"] * 2  # at random, not in turn


async def test_a_half_closed_connection_still_answers(tmp_path: Path) -> None:
    async with lab(tmp_path) as (pods, balancer):
        balancer.sync({WEB: Frontend((await pods.add("10.244.1.2", echo),))})
        assert await ask(port(tmp_path), b"hello") == b"hello"


async def test_large_bodies_pass_a_slow_reader_whole(tmp_path: Path) -> None:
    body = random.Random(1).randbytes(9_000_000)
    async with lab(tmp_path) as (pods, balancer):
        balancer.sync({WEB: Frontend((await pods.add("10.244.1.2", echo),))})
        reader, writer = await asyncio.open_connection("127.0.0.1", port(tmp_path), limit=1024)
        writer.write(body)
        writer.write_eof()
        back = bytearray()
        while chunk := await reader.read(3000):
            back += chunk
        writer.close()
    assert bytes(back) == body


async def test_an_existing_connection_stays_when_its_pod_leaves_the_service(tmp_path: Path) -> None:
    async with lab(tmp_path) as (pods, balancer):
        balancer.sync({WEB: Frontend((await pods.add("10.244.1.2", echo),))})
        reader, writer = await asyncio.open_connection("127.0.0.1", port(tmp_path))
        writer.write(b"before ")
        await writer.drain()
        other = await pods.add("10.244.1.3", naming("new"))
        balancer.sync({WEB: Frontend((other,))})
        assert await ask(port(tmp_path)) == b"new"
        pods.book.withdraw("10.244.1.2")
        balancer.sync({})
        writer.write(b"after")
        writer.write_eof()
        assert await reader.read() == b"before after"
        writer.close()


async def test_a_service_without_endpoints_refuses_and_comes_back_on_the_same_port(tmp_path: Path) -> None:
    async with lab(tmp_path) as (pods, balancer):
        end = await pods.add("10.244.1.2", naming("here"))
        balancer.sync({WEB: Frontend(())})
        number = port(tmp_path)
        for ends, answers in (((), False), ((end,), True), ((), False), ((end,), True)):
            balancer.sync({WEB: Frontend(ends)})
            if answers:
                assert await ask(number) == b"here"
            else:
                with pytest.raises(ConnectionRefusedError):
                    await ask(number)


async def test_a_dead_endpoint_gives_a_reset_and_is_not_hidden(tmp_path: Path) -> None:
    async with lab(tmp_path) as (pods, balancer):
        end = await pods.add("10.244.1.2", naming("x"))
        pods.servers[0].close()
        balancer.sync({WEB: Frontend((end, ("10.244.9.9", 8000)))})
        for _ in range(4):
            reader, writer = await asyncio.open_connection("127.0.0.1", port(tmp_path))
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()


async def test_a_reset_by_the_server_reaches_the_client_as_one(tmp_path: Path) -> None:
    async def crash(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(5)
        no_linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        writer.transport.abort()

    async with lab(tmp_path) as (pods, balancer):
        balancer.sync({WEB: Frontend((await pods.add("10.244.1.2", crash),))})
        reader, writer = await asyncio.open_connection("127.0.0.1", port(tmp_path))
        writer.write(b"hello")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_client_ip_affinity_is_honoured(tmp_path: Path) -> None:
    async with lab(tmp_path) as (pods, balancer):
        ends = tuple([await pods.add(f"10.244.1.{i}", naming(str(i))) for i in range(5)])
        balancer.sync({WEB: Frontend(ends, affinity_seconds=10800)})
        assert len({await ask(port(tmp_path)) for _ in range(20)}) == 1


async def test_ports_are_the_same_after_a_restart(tmp_path: Path) -> None:
    async with lab(tmp_path) as (_, balancer):
        balancer.sync({WEB: Frontend(()), "shop/db:5432": Frontend(())})
        before = json.loads((tmp_path / "services.json").read_text())
    async with lab(tmp_path) as (_, balancer):
        balancer.sync({WEB: Frontend(()), "shop/db:5432": Frontend(())})
        assert json.loads((tmp_path / "services.json").read_text()) == before
        balancer.sync({WEB: Frontend(())})
        assert list(json.loads((tmp_path / "services.json").read_text())) == [WEB]


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    return {
        "kind": "Service",
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"clusterIP": "10.96.0.7", "ports": ports} | spec,
    }


def endpoint_slice(*endpoints: tuple[str, dict[str, bool]], port: int = 8000) -> dict[str, Any]:
    return {
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "shop",
            "name": "web-abc",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "ports": [{"name": "http", "port": port}],
        "endpoints": [{"addresses": [ip], "conditions": state} for ip, state in endpoints],
    }


READY = {"ready": True, "serving": True, "terminating": False}
ENDING = {"ready": False, "serving": True, "terminating": True}
STARTING = {"ready": False, "serving": False, "terminating": False}


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([READY, STARTING, ENDING], [0]),
        ([STARTING, ENDING], [1]),
        ([STARTING], []),
        ([{}], [0]),  # no conditions: ready, says the API
    ],
)
def test_endpoints_are_those_that_kube_proxy_would_take(
    states: list[dict[str, bool]], expected: list[int]
) -> None:
    table = ServiceTable()
    table.put(service())
    table.put(endpoint_slice(*[(f"10.244.1.{i}", s) for i, s in enumerate(states)]))
    assert table.frontends()[WEB].endpoints == tuple((f"10.244.1.{i}", 8000) for i in expected)


def test_services_without_an_address_of_their_own_are_left_out() -> None:
    table = ServiceTable()
    table.put(service("headless", clusterIP="None"))
    table.put(service("elsewhere", type="ExternalName", clusterIP=None))
    table.put(service("datagrams", ports=[{"port": 53, "protocol": "UDP"}]))
    assert table.frontends() == {}


def test_a_deleted_slice_takes_its_endpoints_along() -> None:
    table = ServiceTable()
    table.put(service(sessionAffinity="ClientIP"))
    table.put(endpoint_slice(("10.244.1.2", READY)))
    table.drop(endpoint_slice())
    assert table.frontends()[WEB] == Frontend((), "10.96.0.7", 80, affinity_seconds=10800)
