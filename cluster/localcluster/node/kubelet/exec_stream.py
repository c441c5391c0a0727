"""`kubectl exec`: a process in a container, joined to a WebSocket that speaks `v5.channel.k8s.io` or older.

Each binary message is one byte of channel and then data. The API server passes the client's WebSocket through
unchanged, because the node declares `ExtendWebSocketsToKubelet`. When the client disconnects, the process
ends too: nothing is left running on the user's laptop. Refuses SPDY. Source:
https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess  # noqa: TID251 - for PIPE; processes are started by localcluster.spawn
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from localcluster import spawn
from localcluster.node.kubelet.terminal import Terminal
from localcluster.node.life import executing
from localcluster.node.life.joining import joining
from localcluster.node.pod.pods import RunningContainer

_OLDEST = "channel.k8s.io"
"""What a client speaks that names no protocol: it is told of failures only, in words instead of a Status."""

_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", _OLDEST)

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_CHUNK = 32 * 1024
_SIZE_SECONDS = 0.5  # how long a command waits for its terminal's size
_SLOW_SECONDS = 30.0  # more than a program of ours needs to start on a busy machine
_TERM = {"TERM": "xterm"}


@dataclass(frozen=True)
class ExecOptions:
    """PodExecOptions as the API server passes them on."""

    command: tuple[str, ...]
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def parse(cls, query: Any) -> ExecOptions:
        """From the query of `/exec/...` (a multi-dict)."""

        def flag(*names: str) -> bool:
            return any(query.get(name, "").lower() in {"1", "true"} for name in names)

        return cls(
            command=tuple(query.getall("command", ())),
            stdin=flag("input", "stdin"),
            stdout=flag("output", "stdout"),
            stderr=flag("error", "stderr"),
            tty=flag("tty"),
        )


class _Process:
    """The started command and its streams; with a terminal there is one stream in both directions."""

    def __init__(
        self, process: asyncio.subprocess.Process, terminal: Terminal | None = None, *, reaped: bool = True
    ) -> None:
        self.process = process
        self._reaped = reaped
        self.terminal = terminal
        self.stdin = terminal.writer if terminal else process.stdin
        self.outputs: dict[int, asyncio.StreamReader] = {}
        if terminal:
            self.outputs[STDOUT] = terminal.reader
        elif process.stdout and process.stderr:
            self.outputs = {STDOUT: process.stdout, STDERR: process.stderr}

    @classmethod
    async def start(cls, container: RunningContainer, options: ExecOptions) -> _Process:
        """Without a terminal."""
        stdin = subprocess.PIPE if options.stdin else subprocess.DEVNULL
        with joining(container, options.command) as how:
            started = await spawn.start(how.argv, stdin=stdin, env=how.env, pass_fds=how.pass_fds)
        return cls(started, reaped=container.isolated)

    async def end(self) -> int:
        """Make sure that none of its processes is left; returns its exit code."""
        if self.process.returncode is None:
            await executing.end(self.process, reaped=self._reaped)
        if self.terminal is not None:
            self.terminal.close()
        elif self.stdin is not None:
            self.stdin.close()
        code = await self.process.wait()
        return 128 - code if code < 0 else code


class _Seat:
    """A command that waits for its terminal's first size, so that `stty size` is right from the start."""

    def __init__(self, running: _Process, word: socket.socket | None) -> None:
        self.running = running
        self._word = word

    @classmethod
    async def take(cls, container: RunningContainer, command: Sequence[str]) -> _Seat:
        """Start it on a terminal of the container, or of the host without isolation."""
        start = cls._inside if container.isolated else cls._outside
        return await start(container, command)

    @classmethod
    async def _inside(cls, container: RunningContainer, command: Sequence[str]) -> _Seat:
        ours, theirs = socket.socketpair()
        with theirs, joining(container, command, _TERM, terminal=theirs.fileno()) as how:
            output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
            process = await spawn.start(how.argv, env=how.env, pass_fds=how.pass_fds, **output)
        ours.settimeout(_SLOW_SECONDS)
        _, handles, _, _ = await asyncio.to_thread(socket.recv_fds, ours, 1, 1)
        if not handles:
            ours.close()
            said, _ = await process.communicate()
            raise OSError(said.decode(errors="replace").strip() or "the container ended")
        return cls(_Process(process, await Terminal.on(handles[0])), ours)

    @classmethod
    async def _outside(cls, container: RunningContainer, command: Sequence[str]) -> _Seat:
        ours, theirs = os.openpty()
        try:
            with joining(container, command, _TERM) as how:
                words = ["/usr/bin/setsid", "--ctty", "--wait", *how.argv]  # its controlling terminal
                ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
                process = await spawn.start(words, **ends, env=how.env, pass_fds=how.pass_fds)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return cls(_Process(process, await Terminal.on(ours), reaped=False), None)

    async def sit(self, client: web.WebSocketResponse) -> _Process:
        """Let it start, with the size that the client sends first (kubectl does so at once)."""
        try:
            await _message(self.running, await client.receive(_SIZE_SECONDS))
        except TimeoutError:
            pass  # this client sends none
        finally:
            if self._word:
                self._word.send(b"!")
                self._word.close()
        return self.running


async def _started(
    client: web.WebSocketResponse, container: RunningContainer, options: ExecOptions
) -> _Process:
    if not options.tty:
        return await _Process.start(container, options)
    return await (await _Seat.take(container, options.command)).sit(client)


async def serve(
    request: web.Request, container: RunningContainer, options: ExecOptions
) -> web.StreamResponse:
    """Run the command until it ends or the client disconnects."""
    client = await accepted(request)
    try:
        running = await _started(client, container, options)
    except OSError as error:
        await finish(client, _failure(f"error executing command in container: {error}"))
        return client
    inputs = asyncio.create_task(_feed(client, running))
    outputs = asyncio.create_task(_drain(client, running))
    try:
        await asyncio.wait({outputs, inputs}, return_when=asyncio.FIRST_COMPLETED)
        finished = outputs.done()
    finally:
        code = await running.end()
        inputs.cancel()
        outputs.cancel()
        await asyncio.gather(inputs, outputs, return_exceptions=True)
    if finished:
        await finish(client, exit_status(code))
    return client


async def _drain(socket: web.WebSocketResponse, running: _Process) -> None:
    """All output of the process, until it has ended."""
    streams = (_copy(reader, socket, channel) for channel, reader in running.outputs.items())
    await asyncio.gather(*streams, running.process.wait())


async def _copy(reader: asyncio.StreamReader, socket: web.WebSocketResponse, channel: int) -> None:
    """From the process to the client until it ends; a terminal whose last user is gone reports EIO."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            await socket.send_bytes(bytes((channel,)) + data)


async def _feed(client: web.WebSocketResponse, running: _Process) -> None:
    """From the client to the process, until the client is gone."""
    async for message in client:
        await _message(running, message)


async def _message(running: _Process, message: WSMessage) -> None:
    if message.type is not WSMsgType.BINARY or not message.data:
        return
    channel, data = message.data[0], message.data[1:]
    if channel == RESIZE and running.terminal is not None:
        running.terminal.resize(data)
    elif channel == STDIN and running.stdin is not None:
        with contextlib.suppress(ConnectionError):  # it reads no more
            running.stdin.write(data)
            await running.stdin.drain()
    elif channel == CLOSE and data == bytes((STDIN,)) and running.stdin is not None:
        running.stdin.close()


async def accepted(request: web.Request) -> web.WebSocketResponse:
    """The client's WebSocket; raises `HTTPBadRequest` if it speaks none of our protocols."""
    named = request.headers.get("Sec-WebSocket-Protocol", "")
    offered = [name.strip() for name in named.split(",") if name.strip()]
    if offered and not set(offered) & set(_PROTOCOLS):
        raise web.HTTPBadRequest(text=f"unable to upgrade: {named} is none of {', '.join(_PROTOCOLS)}")
    client = web.WebSocketResponse(protocols=_PROTOCOLS, max_msg_size=0, autoping=True)
    await client.prepare(request)
    return client


async def finish(client: web.WebSocketResponse, status: dict[str, Any]) -> None:
    """The last message: how it ended."""
    said = json.dumps(status)
    if client.ws_protocol in {None, _OLDEST}:
        said = str(status.get("message", ""))
    with contextlib.suppress(ConnectionError):
        if said:
            await client.send_bytes(bytes((ERROR,)) + said.encode())
        await client.close()


def exit_status(code: int) -> dict[str, Any]:
    """The Status from which `kubectl exec` takes its own exit code."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    message = f"command terminated with non-zero exit code: exit status {code}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _failure(message: str) -> dict[str, Any]:
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500}
