"""`kubectl port-forward` at a kubelet's port: SPDY in a WebSocket, to real servers on this machine."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from localcluster.netns import furnish
from localcluster.node.kubelet.port_forward import PROTOCOL, _connected
from localcluster.node.kubelet.spdy import DICTIONARY
from localcluster.node.network.networks import OwnNetworks
from localcluster.node.pod.pods import RunningPod
from tests.cluster.unit.netns_world import REFUSED, Fresh, usable
from tests.cluster.unit.test_kubelet_api import Node, anyio_backend, certificates, kubelet

__all__ = ["anyio_backend", "certificates"]

pytestmark = pytest.mark.anyio

LARGE = bytes(range(256)) * 4096  # 1 MiB: more than a frame, and more than sockets hold


class Client:
    """kubectl's side: streams with odd numbers, in pairs."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._next = 1
        self._bytes = b""
        self.data: dict[int, bytes] = {}
        self.ended: set[int] = set()

    async def open(self, port: int, request: str) -> tuple[int, int]:
        """The numbers of the error stream and of the data stream."""
        pair = []
        for kind in ("error", "data"):
            headers = {"streamtype": kind, "port": str(port), "requestid": request}
            words = [struct.pack(">I", len(headers))]
            words += [struct.pack(">I", len(w)) + w.encode() for pair in headers.items() for w in pair]
            block = self._deflate.compress(b"".join(words)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
            payload = struct.pack(">IIBB", self._next, 0, 0, 0) + block
            await self.socket.send_bytes(struct.pack(">II", 0x80030001, len(payload)) + payload)
            pair.append(self._next)
            self._next += 2
        return pair[0], pair[1]

    async def send(self, stream: int, data: bytes, *, last: bool = False) -> None:
        frame = struct.pack(">II", stream, (0x01 if last else 0) << 24 | len(data)) + data
        for start in range(0, len(frame), 1000):  # cut where no frame ends
            await self.socket.send_bytes(frame[start : start + 1000])

    async def until_end(self, *streams: int) -> None:
        while not self.ended >= set(streams):
            message = await self.socket.receive(10)
            assert message.type is aiohttp.WSMsgType.BINARY
            self._bytes += message.data
            while len(self._bytes) >= 8:
                first, second = struct.unpack(">II", self._bytes[:8])
                size = second & 0xFFFFFF
                if len(self._bytes) < 8 + size:
                    break
                payload, self._bytes = self._bytes[8 : 8 + size], self._bytes[8 + size :]
                if not first >> 31:
                    self.data[first] = self.data.get(first, b"") + payload
                    self.ended |= {first} if second >> 24 & 1 else set()


@asynccontextmanager
async def forwarding(node: Node) -> AsyncIterator[Client]:
    place = "/portForward/default/web"
    async with node.client().ws_connect(place, protocols=[PROTOCOL], max_msg_size=0) as socket:
        assert socket.protocol == PROTOCOL
        yield Client(socket)


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server that says back what it hears; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while block := await reader.read(65536):
            writer.write(block)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_connections_reach_the_place_of_a_declared_port_side_by_side(
    tmp_path: Path, certificates: Path
) -> None:
    async with kubelet(tmp_path, certificates) as node, echo() as port, forwarding(node) as client:
        node.container.ports = {80: f"127.0.0.1:{port}"}
        pairs = [await client.open(80, str(n)) for n in range(3)]
        for number, (_, data) in enumerate(pairs):
            await client.send(data, LARGE + bytes((number,)), last=True)
        await client.until_end(*(stream for pair in pairs for stream in pair))
        for number, (error, data) in enumerate(pairs):
            assert client.data[data] == LARGE + bytes((number,))
            assert client.data[error] == b""


async def test_what_no_process_of_the_pod_listens_on_is_refused(tmp_path: Path, certificates: Path) -> None:
    async with kubelet(tmp_path, certificates) as node, echo() as strangers, forwarding(node) as client:
        error, data = await client.open(strangers, "0")
        await client.until_end(error, data)
        said = client.data[error].decode()
        assert said.startswith(f"error forwarding port {strangers} to pod web, uid uid-1: ")
        assert "connection refused; nothing in it listens" in said


def _refusals(ports: list[str]) -> list[str]:
    """How a pod with a network of its own answers for each."""
    furnish.links(furnish.OWN)
    networks, pod = OwnNetworks(), RunningPod("uid-1", "default", "web", "node", Path("/nowhere"))
    networks.make(pod.uid, "10.244.1.2")

    async def answer(port: str) -> str:
        try:
            async with _connected(pod, networks, port):
                return "connected"
        except ConnectionRefusedError as error:
            return str(error)

    async def answers() -> list[str]:
        return [await answer(port) for port in ports]

    return asyncio.run(answers())


@pytest.mark.skipif(not usable(), reason=REFUSED)
def test_what_is_no_port_is_refused_like_a_closed_one() -> None:
    ports = ["65535", "0", "65536", "99999", "9" * 5000, "²", "-1", "http", ""]
    with Fresh() as fresh:
        said = fresh.call(_refusals, ports)
    refused = "failed to connect to localhost:{} inside the pod: connection refused; nothing in it listens"
    assert said == [refused.format(port) for port in ports]


async def test_a_port_that_a_process_of_the_pod_listens_on_needs_no_declaration(
    tmp_path: Path, certificates: Path
) -> None:
    script = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)"
    )
    serve = f"{script}; c = s.accept()[0]; c.sendall(c.recv(5).upper())"
    async with kubelet(tmp_path, certificates, f'exec python3 -c "{serve}"') as node:
        async with asyncio.timeout(20):
            while not (port := (tmp_path / "0.log").read_text().strip()):
                await asyncio.sleep(0.05)
        async with forwarding(node) as client:
            error, data = await client.open(int(port), "0")
            await client.send(data, b"hello")
            await client.until_end(error, data)
            assert client.data[data] == b"HELLO"


async def test_what_is_no_spdy_ends_the_connection(tmp_path: Path, certificates: Path) -> None:
    async with kubelet(tmp_path, certificates) as node, forwarding(node) as client:
        await client.socket.send_bytes(struct.pack(">II", 0x80040001, 4) + b"abcd")
        message = await client.socket.receive(10)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1002)
