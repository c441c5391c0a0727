"""`kubectl port-forward`: connections to a pod's ports, through the API server and this node's kubelet.

kubectl opens a WebSocket and speaks SPDY in it (https://kep.k8s.io/4006): for each connection a data stream
and an error stream. Connections are made in the pod's own network, to its loopback. Without isolation all
pods share this machine's: then a declared port leads to its real address, and on any other a process of the
pod must listen, so that nothing else on this machine can be reached this way.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

from aiohttp import WSMsgType, web

from localcluster.node.kubelet.spdy import Connection, Stream
from localcluster.node.network.networks import Network
from localcluster.node.pod.pods import RunningPod
from localcluster.node.process import processes

PROTOCOL = "SPDY/3.1+portforward.k8s.io"
_CHUNK = 64 * 1024
_LAST = 65535
_TYPE, _PORT, _REQUEST = "streamtype", "port", "requestid"  # headers of each stream


async def serve(request: web.Request, pod: RunningPod, network: Network) -> web.StreamResponse:
    """Serve the client until it disconnects; its connections end with it."""
    client = web.WebSocketResponse(protocols=(PROTOCOL,), max_msg_size=0, autoping=True)
    await client.prepare(request)
    tasks: set[asyncio.Task[None]] = set()
    forwarder = _Forwarder((pod, network), client, tasks)
    try:
        async for message in client:
            if message.type is WSMsgType.BINARY:
                await forwarder.connection.take(message.data)
            if forwarder.connection.gone:
                break
    except ValueError:
        await client.close(code=1002, message=b"this is not SPDY/3.1")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return client


class _Forwarder:
    """Pairs the two streams of each connection and starts to forward it."""

    def __init__(
        self,
        target: tuple[RunningPod, Network],
        client: web.WebSocketResponse,
        tasks: set[asyncio.Task[None]],
    ) -> None:
        self._pod, self._network = target
        self._client = client
        self._tasks = tasks
        self._half: dict[str, Stream] = {}
        self.connection = Connection(self._send, self._opened)

    async def _send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # the client is gone, and its end is noticed elsewhere
            await self._client.send_bytes(data)

    def _opened(self, stream: Stream) -> None:
        kind, request = stream.headers.get(_TYPE), stream.headers.get(_REQUEST, "")
        other = self._half.pop(request, None)
        if kind not in {"data", "error"} or (other and other.headers[_TYPE] == kind):
            self._do(self.connection.refuse(stream))
        elif other is None:
            self._half[request] = stream
        else:
            data, error = (stream, other) if kind == "data" else (other, stream)
            self._do(self._forward(data, error))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, data: Stream, error: Stream) -> None:
        """One connection, from the first byte to the last."""
        port = data.headers.get(_PORT, "")
        try:
            async with _connected(self._pod, self._network, port) as (reader, writer):
                await _both_ways(data, reader, writer)
        except OSError as failure:
            said = f"error forwarding port {port} to pod {self._pod.name}, uid {self._pod.uid}: {failure}"
            await error.write(said.encode())
        finally:
            self.connection.forget(data, error)
            data.drop()
        await data.close()
        await error.close()


@contextlib.asynccontextmanager
async def _connected(
    pod: RunningPod, network: Network, port: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a port of the pod. Raises `ConnectionError` with a readable message."""
    for address in addresses(pod, network, _number(port)):
        try:
            with network.inside(pod.uid):
                sock = socket.socket()  # it stays in the pod's network, wherever we are
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, address)
            reader, writer = await asyncio.open_connection(sock=sock)
        except ConnectionError:
            sock.close()
            continue
        try:
            yield reader, writer
        finally:
            writer.close()
        return
    listening = sorted(_listening(pod))
    where = f"it listens on {', '.join(map(str, listening))}" if listening else "nothing in it listens"
    raise ConnectionRefusedError(
        f"failed to connect to localhost:{port} inside the pod: connection refused; {where}"
    )


def _number(port: str) -> int:
    """0, on which nobody can listen, for anything that is no port."""
    number = int(port) if port.isdecimal() and len(port) <= len(str(_LAST)) else 0
    return number if number <= _LAST else 0


def addresses(pod: RunningPod, network: Network, port: int) -> Iterator[tuple[str, int]]:
    """Candidate addresses of a port: the pod's loopback, as a container runtime connects.

    Without isolation: where its declaration leads, and where one of its processes listens.
    """
    if network.own:
        yield "127.0.0.1", port
        return
    for container in pod.containers.values():
        if declared := container.ports.get(port):
            host, _, number = declared.rpartition(":")
            yield host, int(number)
    if port in _listening(pod):
        yield "127.0.0.1", port


def _listening(pod: RunningPod) -> set[int]:
    pids = [container.pid for container in pod.containers.values() if container.pid]
    return set().union(*(processes.listening(pid) for pid in pids))


async def _both_ways(data: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the pod has sent everything, or the client wants no more."""
    up = asyncio.create_task(_to_pod(data, writer))
    down = asyncio.create_task(_from_pod(reader, data))
    left = asyncio.create_task(data.reset.wait())
    try:
        await asyncio.wait({down, left}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (up, down, left):
            task.cancel()
        await asyncio.gather(up, down, left, return_exceptions=True)


async def _to_pod(data: Stream, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # it reads no more
        while block := await data.read():
            writer.write(block)
            await writer.drain()
        writer.write_eof()


async def _from_pod(reader: asyncio.StreamReader, data: Stream) -> None:
    with contextlib.suppress(OSError):  # a reset ends it, as for the pod's own clients
        while block := await reader.read(_CHUNK):
            await data.write(block)
