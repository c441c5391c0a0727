"""`kubectl attach`: the streams of a container's own process, from now on.

A container that has stdin or a terminal has a console, and clients join in there. For any other container the
log is followed: its process writes both streams into it, so both come as stdout. When the client disconnects,
the container keeps running.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from aiohttp import WSMsgType, web

from localcluster.node.kubelet import log_reader
from localcluster.node.kubelet.exec_stream import CLOSE, RESIZE, STDIN, STDOUT, accepted, finish
from localcluster.node.kubelet.log_reader import LogOptions, LogTimes
from localcluster.node.pod.pods import RunningContainer, RunningPod
from localcluster.node.process import console

_MESSAGE = 256 * 1024  # bytes: more than the console sends at once
_PART = 32 * 1024  # bytes of stdin that go to the console at once
_SUCCESS = {"metadata": {}, "status": "Success"}


@dataclass(frozen=True)
class Log:
    """What a container without a console prints."""

    pod: RunningPod
    run: RunningContainer
    times: LogTimes

    async def show(self, client: web.WebSocketResponse) -> None:
        """Until the container ends."""
        options = LogOptions(follow=True, tail_lines=0)
        lines = log_reader.read(
            self.run.log_path, options, self.times, running=lambda: self.pod.runs(self.run)
        )
        async for piece in lines:
            await client.send_bytes(bytes((STDOUT,)) + piece)

    async def type(self, client: web.WebSocketResponse, *, stdin: bool) -> None:
        """Read nothing; return when the client disconnects."""
        del stdin
        async for _ in client:
            pass


@dataclass(frozen=True)
class Joined:
    """A connection to a container's console."""

    socket: socket.socket

    async def show(self, client: web.WebSocketResponse) -> None:
        """What the container prints, until it ends."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while message := await loop.sock_recv(self.socket, _MESSAGE):
                await client.send_bytes(message)

    async def type(self, client: web.WebSocketResponse, *, stdin: bool) -> None:
        """What the client types, until it disconnects."""
        async for message in client:
            if message.type is not WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel == STDIN and stdin:
                for start in range(0, len(data), _PART):
                    await self._send(bytes((STDIN,)) + data[start : start + _PART])
            elif channel == RESIZE or (channel == CLOSE and data == bytes((STDIN,)) and stdin):
                await self._send(message.data)

    async def _send(self, message: bytes) -> None:
        with contextlib.suppress(OSError):  # the container has ended, which is noticed elsewhere
            await asyncio.get_running_loop().sock_sendall(self.socket, message)


async def serve(request: web.Request, container: Log | Joined, *, stdin: bool) -> web.StreamResponse:
    """Run until the container ends or the client disconnects."""
    client = await accepted(request)
    shown = asyncio.create_task(container.show(client))
    typed = asyncio.create_task(container.type(client, stdin=stdin))
    try:
        await asyncio.wait({shown, typed}, return_when=asyncio.FIRST_COMPLETED)
        ended = shown.done()
    finally:
        for task in (shown, typed):
            task.cancel()
        await asyncio.gather(shown, typed, return_exceptions=True)
        if isinstance(container, Joined):
            container.socket.close()
    if ended:
        await finish(client, _SUCCESS)
    return client


def joined(folder: Path) -> Joined | None:
    """A connection to the console of the run in `folder`; None if it has none."""
    try:
        handle, name = console.place(folder)
    except OSError:
        return None
    found = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        found.connect(name)
    except OSError:
        found.close()
        return None
    finally:
        os.close(handle)
    found.setblocking(False)
    return Joined(found)
