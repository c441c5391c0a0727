"""`python -m localcluster.netns.edge LAB_DIR`: the only process of the lab that listens on this machine.

Two processes. The outer one listens on 127.0.0.1, a door for each address of the lab that somebody asked for;
the inner one, in the lab's namespace, accepts on those sockets and connects to the lab. A socket keeps the
namespace in which it was made, whoever uses it, so neither has to be in both. Each also answers requests on a
Unix socket in the lab's folder (0700), see `doors.py`. `doors.json` remembers the doors for the next edge.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from localcluster import setns, stored
from localcluster.netns import doors, holder
from localcluster.netns.relay import Relay, reset

_BACKLOG = 1024
_BYTES = 4096
_PR_SET_PDEATHSIG = 1
_CONNECT_SECONDS = 10.0
_PAUSE = 0.2

Answer = tuple[dict[str, Any], list[socket.socket]]


class Inner:
    """In the lab: accepts on the doors, and makes sockets for others."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._relay = Relay()
        self._doors: list[asyncio.Task[None]] = []

    async def run(self, lab_dir: Path) -> None:
        """Serve until the outer process ends."""
        self._relay.start()
        serving = asyncio.create_task(_serve(lab_dir, doors.INSIDE, self._answer))
        loop = asyncio.get_running_loop()
        over = asyncio.Event()

        def took() -> None:
            word, handles, _, _ = socket.recv_fds(self._control, _BYTES, 1)
            if not word:
                over.set()
                return
            listener = socket.socket(fileno=handles[0])
            listener.setblocking(False)
            self._doors.append(loop.create_task(self._attend(listener, doors.split(word.decode()))))

        loop.add_reader(self._control, took)
        await over.wait()
        serving.cancel()

    async def _attend(self, listener: socket.socket, target: tuple[str, int]) -> None:
        loop, tasks = asyncio.get_running_loop(), set[asyncio.Task[None]]()
        async for client in _clients(listener):
            task = loop.create_task(self._through(client, target))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _through(self, client: socket.socket, target: tuple[str, int]) -> None:
        try:
            server = await _connected(target)
        except OSError:
            reset(client)
        else:
            self._relay.splice(client, server)

    async def _answer(self, request: dict[str, Any]) -> Answer:
        return {}, [await _connected(doors.split(str(request["connect"])))]


class Outer:
    """On this machine: opens doors, and makes sockets that lead out, for the agent's pulls."""

    def __init__(self, lab_dir: Path, control: socket.socket) -> None:
        self._file = lab_dir / doors.REMEMBERED
        self._control = control
        self._ports: dict[str, int] = {}

    async def run(self, lab_dir: Path) -> None:
        """Open the doors that are remembered, then serve until the inner process ends."""
        for target, port in doors.known(lab_dir).items():
            try:
                self._open(target, port)
            except OSError as error:  # whoever asks for this door again is given another port
                _note(f"127.0.0.1:{port} is no longer the door to {target}: {error.strerror}")
        serving = asyncio.create_task(_serve(lab_dir, doors.OUTSIDE, self._answer))
        over = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._control, over.set)
        await over.wait()
        serving.cancel()

    def _open(self, target: str, port: int) -> int:
        with _listening(port) as listener:
            number = int(listener.getsockname()[1])
            socket.send_fds(self._control, [target.encode()], [listener.fileno()])
        self._ports[target] = number
        return number

    async def _answer(self, request: dict[str, Any]) -> Answer:
        if "socket" in request:
            made = socket.socket(int(request["socket"]), socket.SOCK_STREAM)
            return {}, [made]
        if "resolve" in request:
            return {"addresses": await _resolved(request["resolve"], int(request["port"]))}, []
        target = str(request["door"])
        doors.split(target)
        if target not in self._ports:
            self._open(target, 0)
            stored.write_atomically(self._file, json.dumps(self._ports, indent=1))
        return {"port": self._ports[target]}, []


def _listening(port: int) -> socket.socket:
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


async def _clients(listener: socket.socket) -> AsyncIterator[socket.socket]:
    """Whoever connects, for ever: a door that failed once must not stay shut."""
    while True:
        try:
            client, _ = await asyncio.get_running_loop().sock_accept(listener)
        except OSError as error:
            _note(f"nobody is let in for {_PAUSE:g} s: {error.strerror}")  # most often: too many open files
            await asyncio.sleep(_PAUSE)
            continue
        client.setblocking(False)
        yield client


def _reason(error: OSError) -> str:
    """The kernel's words: asyncio has others for a connection that failed."""
    if error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__


def _note(said: str) -> None:
    print(time.strftime("%H:%M:%S"), said, flush=True)  # noqa: T201 - standard output is the log


async def _connected(target: tuple[str, int]) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(sock, target)
    except BaseException:
        sock.close()
        raise
    return sock


async def _resolved(host: str, port: int) -> list[list[Any]]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [[int(family), address[0]] for family, _, _, _, address in found]


def _unix(lab_dir: Path, name: str) -> socket.socket:
    """A Unix socket that listens; its file appears only then."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.setblocking(False)
    with doors.folder(lab_dir) as folder:
        fresh = Path(folder, f"{name}.new")
        fresh.unlink(missing_ok=True)
        listener.bind(str(fresh))
        listener.listen(_BACKLOG)
        fresh.chmod(0o600)
        fresh.replace(Path(folder, name))
    return listener


async def _serve(lab_dir: Path, name: str, answer: Callable[[dict[str, Any]], Awaitable[Answer]]) -> None:
    """Answer requests on the Unix socket `name`."""
    loop, tasks = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    listener = _unix(lab_dir, name)

    async def attend(client: socket.socket) -> None:
        handles: list[socket.socket] = []
        with client:
            try:
                reply, handles = await answer(json.loads(await loop.sock_recv(client, _BYTES)))
            except OSError as error:
                reply = {"error": _reason(error)}
            except (LookupError, TypeError, ValueError) as error:
                reply = {"error": f"not a request: {error!r}"}
            with contextlib.suppress(OSError):  # the one who asked is gone
                socket.send_fds(client, [json.dumps(reply).encode()], [each.fileno() for each in handles])
        for each in handles:
            each.close()

    async for client in _clients(listener):
        task = loop.create_task(attend(client))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def main(arguments: list[str]) -> int:
    """Fork, join the lab with one of the two, and serve; ends when either ends."""
    lab_dir = Path(arguments[0])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two sockets for each connection
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with setns.namespaces_of(holder.pid_of(lab_dir)) as lab:
        if os.fork() == 0:
            ours.close()
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            setns.join(*lab)
            asyncio.run(Inner(theirs).run(lab_dir))
            return 0
    theirs.close()
    asyncio.run(Outer(lab_dir, ours).run(lab_dir))
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
