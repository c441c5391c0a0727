"""`kubectl exec`: a process in a container, joined to a WebSocket that speaks `v5.channel.k8s.io`.

Each binary message is one byte of channel and then data. The API server hands the client's WebSocket through
as it is, because the node declares `ExtendWebSocketsToKubelet`. When the client goes away the process ends
too: nothing may stay behind on somebody's laptop. Refuses SPDY.
Source: https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import struct
import subprocess  # noqa: TID251 - for PIPE; processes are started by labkit._proc
import termios
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web

from labkit import _proc
from labkit.node.life.joining import joining
from labkit.node.pod.pods import RunningContainer
from labkit.node.process import processes

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_CHUNK = 32 * 1024


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

    def __init__(self, process: asyncio.subprocess.Process, terminal: int | None) -> None:
        self.process = process
        self.terminal = terminal
        self.stdin = process.stdin
        self.outputs: dict[int, asyncio.StreamReader] = {}
        if process.stdout:
            self.outputs[STDOUT] = process.stdout
        if process.stderr:
            self.outputs[STDERR] = process.stderr

    @classmethod
    async def start(cls, container: RunningContainer, options: ExecOptions) -> _Process:
        if options.tty:
            return await cls._start_on_terminal(container, options.command)
        stdin = subprocess.PIPE if options.stdin else subprocess.DEVNULL
        with joining(container, options.command) as how:
            process = await _proc.start(how.argv, stdin=stdin, env=how.env, pass_fds=how.pass_fds)
        return cls(process, None)

    @classmethod
    async def _start_on_terminal(cls, container: RunningContainer, command: Sequence[str]) -> _Process:
        # The host's, since a container has no /dev/pts: there it works but has no name (`tty` finds none).
        ours, theirs = os.openpty()
        try:
            with joining(container, command, {"TERM": "xterm"}) as how:
                words = ["/usr/bin/setsid", "--ctty", "--wait", *how.argv]  # its controlling terminal
                ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
                process = await _proc.start(words, **ends, env=how.env, pass_fds=how.pass_fds)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        joined = cls(process, ours)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(ours), "rb", 0)
        )
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(os.dup(ours), "wb", 0)
        )
        joined.stdin = asyncio.StreamWriter(transport, protocol, None, loop)
        joined.outputs[STDOUT] = reader
        return joined

    def resize(self, size: bytes) -> None:
        """Tell the terminal its new size, `{"Width": 80, "Height": 24}`."""
        with contextlib.suppress(ValueError, KeyError, TypeError, struct.error, OSError):
            data = json.loads(size)
            window = struct.pack("HHHH", data["Height"], data["Width"], 0, 0)
            if self.terminal is not None:
                fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, window)

    async def end(self) -> int:
        """Make sure that nothing of it is left; its exit code."""
        if self.process.returncode is None:
            for pid in reversed(processes.tree(self.process.pid)):
                processes.send(pid, signal.SIGKILL)
        if self.stdin is not None:
            self.stdin.close()
        if self.terminal is not None:
            os.close(self.terminal)
        code = await self.process.wait()
        return 128 - code if code < 0 else code


async def serve(
    request: web.Request, container: RunningContainer, options: ExecOptions
) -> web.StreamResponse:
    """Run the command and stay with it until it ends or the client goes away."""
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0, autoping=True)
    await socket.prepare(request)
    try:
        running = await _Process.start(container, options)
    except OSError as error:
        await _finish(socket, _failure(f"error executing command in container: {error}"))
        return socket
    inputs = asyncio.create_task(_feed(socket, running))
    outputs = asyncio.create_task(_drain(socket, running))
    try:
        await asyncio.wait({outputs, inputs}, return_when=asyncio.FIRST_COMPLETED)
        finished = outputs.done()
    finally:
        code = await running.end()
        inputs.cancel()
        outputs.cancel()
        await asyncio.gather(inputs, outputs, return_exceptions=True)
    if finished:
        await _finish(socket, exit_status(code))
    return socket


async def _drain(socket: web.WebSocketResponse, running: _Process) -> None:
    """All that the process has to say, until it has ended."""
    streams = (_copy(reader, socket, channel) for channel, reader in running.outputs.items())
    await asyncio.gather(*streams, running.process.wait())


async def _copy(reader: asyncio.StreamReader, socket: web.WebSocketResponse, channel: int) -> None:
    """From the process to the client until it ends; a terminal whose last user is gone reports EIO."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            await socket.send_bytes(bytes((channel,)) + data)


async def _feed(socket: web.WebSocketResponse, running: _Process) -> None:
    """From the client to the process, until the client is gone."""
    async for message in socket:
        if message.type is not WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        if channel == RESIZE:
            running.resize(data)
        elif channel == STDIN and running.stdin is not None:
            with contextlib.suppress(ConnectionError):  # it reads no more
                running.stdin.write(data)
                await running.stdin.drain()
        elif channel == CLOSE and data == bytes((STDIN,)) and running.stdin is not None:
            running.stdin.close()


async def _finish(socket: web.WebSocketResponse, status: dict[str, Any]) -> None:
    with contextlib.suppress(ConnectionError):
        await socket.send_bytes(bytes((ERROR,)) + json.dumps(status).encode())
        await socket.close()


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
