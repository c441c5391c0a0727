"""`python -m localcluster.node.network.balancer LAB_DIR MODE`: Services, where kube-proxy can't run.

For each port of each Service it listens and gives every *new connection* to one endpoint, chosen at random,
as kube-proxy does: a client that keeps its connections never meets the new pods. An existing connection stays
with its pod, whatever happens to the Service. Where there is no endpoint the port refuses, as kube-proxy's
REJECT rule does; if the endpoint does not answer, the client sees a reset, and no other endpoint is tried.

MODE `own`, for a kernel without nf_tables: in the lab's namespace every ClusterIP is local, and it
listens on the Service's own address. MODE `loopback`, for a lab without isolation: it listens on 127.0.0.1;
`services.json` says where, the same port after a restart. Only TCP.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from localcluster.api.asynchronous import Api, Listed
from localcluster.errors import LabError
from localcluster.netns.relay import Relay, reset
from localcluster.node.config import AgentConfig
from localcluster.node.network.addresses import Address, AddressBook
from localcluster.node.network.service_table import API_SERVER, Endpoint, Frontend, ServiceTable
from localcluster.stored import write_atomically

_BACKLOG = 1024
_PORTS = range(16000, 20000)  # below the kernel's ephemeral range, so that no connection takes them
SERVICES = "/api/v1/services"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"


def _bound(port: int, *, reuse: bool, ip: str = "127.0.0.1") -> socket.socket:
    """A socket that owns a port of an address without listening: connections are refused."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    try:
        sock.bind((ip, port))
    except OSError:
        sock.close()
        raise
    return sock


def _claim(wanted: int) -> socket.socket:
    """The wanted port, or a free one if that is taken (or none is wanted)."""
    if wanted:
        with contextlib.suppress(OSError):
            return _bound(wanted, reuse=True)  # connections of an earlier run may linger on it
    for port in random.sample(_PORTS, len(_PORTS)):
        with contextlib.suppress(OSError):
            _bound(port, reuse=False).close()  # free: two with SO_REUSEADDR would not see each other
            return _bound(port, reuse=True)
    raise LabError(
        "There is no free port for a Service.", fix="Run `localcluster down` for a lab that you don't need."
    )


Lookup = Callable[[str, int], Address | None]


class Listener:
    """One port of one Service, on a socket that owns its address; `lookup` is where an endpoint really is."""

    def __init__(self, lookup: Lookup, relay: Relay, sock: socket.socket, *, clock: float) -> None:
        self._lookup, self._relay, self._clock = lookup, relay, clock
        self._frontend = Frontend(())
        self._chosen: dict[str, tuple[Endpoint, float]] = {}  # client IP -> its endpoint, last seen
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = False
        self._sock = sock
        self.ip, self.port = sock.getsockname()

    def update(self, frontend: Frontend) -> None:
        """Use these endpoints from now on; listen exactly while there are any."""
        self._frontend = frontend
        loop = asyncio.get_running_loop()
        if frontend.endpoints and not self._open:
            self._sock.listen(_BACKLOG)
            loop.add_reader(self._sock, self._accept)
        elif not frontend.endpoints and self._open:
            loop.remove_reader(self._sock)
            self._sock.shutdown(socket.SHUT_RD)
        self._open = bool(frontend.endpoints)

    def close(self) -> None:
        """Stop listening and release the port; existing connections continue."""
        self.update(Frontend(()))
        for task in self._tasks:
            task.cancel()
        self._sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            while True:
                client, (ip, _) = self._sock.accept()
                task = asyncio.get_running_loop().create_task(self._serve(client, ip))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: socket.socket, ip: str) -> None:
        address = self._address(ip)
        if address is None:
            reset(client)
            return
        server = socket.socket()
        server.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(server, address)
        except OSError:
            server.close()
            reset(client)
        except asyncio.CancelledError:
            server.close()
            reset(client)
            raise
        else:
            self._relay.splice(client, server)

    def _address(self, ip: str) -> Address | None:
        endpoints = self._frontend.endpoints
        if not endpoints:
            return None
        endpoint = random.choice(endpoints)
        if self._frontend.affinity_seconds:
            endpoint = self._stick(ip, endpoint)
        return self._lookup(*endpoint)

    def _stick(self, ip: str, fresh: Endpoint) -> Endpoint:
        """The endpoint that this client had before, as long as it is ready and was used lately."""
        now = time.monotonic()
        old, seen = self._chosen.get(ip, (fresh, now))
        lasts = self._frontend.affinity_seconds / self._clock
        endpoint = old if old in self._frontend.endpoints and now - seen < lasts else fresh
        self._chosen[ip] = (endpoint, now)
        return endpoint


class Balancer:
    """All listeners of a lab. Use as a context: leaving it closes everything."""

    def __init__(self, lab_dir: Path, *, clock: float, own: bool) -> None:
        self._lookup: Lookup = _itself if own else AddressBook(lab_dir).lookup
        self._own = own
        self._clock = clock
        self._file = lab_dir / "services.json"
        self._wanted = _remembered(self._file)
        self._relay = Relay()
        self._listeners: dict[str, Listener] = {}

    def __enter__(self) -> Self:
        self._relay.start()
        return self

    def __exit__(self, *_: object) -> None:
        for listener in self._listeners.values():
            listener.close()
        self._relay.stop()

    def sync(self, frontends: Mapping[str, Frontend]) -> None:
        """Open, update and close listeners so that they match; write down where they listen."""
        changed = not self._file.exists()
        for name in [n for n in self._listeners if n not in frontends or self._moved(n, frontends[n])]:
            self._listeners.pop(name).close()
            changed = True
        for name, frontend in frontends.items():
            if name not in self._listeners:
                sock = self._socket(name, frontend)
                self._listeners[name] = Listener(self._lookup, self._relay, sock, clock=self._clock)
                changed = True
            self._listeners[name].update(frontend)
        if changed and not self._own:
            self._write()

    def _moved(self, name: str, frontend: Frontend) -> bool:
        """Whether a Service was deleted and made again, with another address."""
        return self._own and self._listeners[name].ip != frontend.ip

    def _socket(self, name: str, frontend: Frontend) -> socket.socket:
        if self._own:
            return _bound(frontend.port, reuse=True, ip=frontend.ip)
        return _claim(self._wanted.get(name, 0))

    def _write(self) -> None:
        where = {name: f"127.0.0.1:{item.port}" for name, item in sorted(self._listeners.items())}
        write_atomically(self._file, json.dumps(where, indent=1))


def _itself(ip: str, port: int) -> Address:
    return ip, port


def _remembered(file: Path) -> dict[str, int]:
    """The ports of an earlier run."""
    try:
        return {name: int(a.rpartition(":")[2]) for name, a in json.loads(file.read_text()).items()}
    except (FileNotFoundError, ValueError, AttributeError):
        return {}


def _others(own: bool) -> str:  # noqa: FBT001 - one flag
    """A Service at whose address somebody else listens: CoreDNS itself; on loopback, the API server."""
    return "kube-system/kube-dns:" if own else f"{API_SERVER}:"


async def follow(api: Api, balancer: Balancer, *, own: bool) -> None:
    """Keep the listeners in sync with the API server, forever; starts once both lists have arrived."""
    table = ServiceTable()
    listed: set[str] = set()

    async def watch(path: str) -> None:
        async for event in api.watch(path):
            if isinstance(event, Listed):
                take = table.set_services if path == SERVICES else table.set_slices
                take(event.items)
                listed.add(path)
            elif event.type == "DELETED":
                table.drop(event.object)
            else:
                table.put(event.object)
            if len(listed) == 2:
                fronts = table.frontends()
                balancer.sync({n: f for n, f in fronts.items() if not n.startswith(_others(own))})

    async with asyncio.TaskGroup() as group:
        group.create_task(watch(SERVICES))
        group.create_task(watch(SLICES))


def _give_up(broken: threading.ExceptHookArgs) -> None:
    """A balancer whose relay died would accept and never answer: end instead, to be restarted."""
    threading.__excepthook__(broken)
    os._exit(1)


async def serve(lab_dir: Path, *, own: bool) -> None:
    """Balance the Services of a lab until SIGTERM."""
    threading.excepthook = _give_up
    clock = AgentConfig.load(lab_dir / "node.json").clock
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two sockets for each connection
    api = Api(lab_dir / "kubeconfigs" / "kube-proxy")
    with Balancer(lab_dir, clock=clock, own=own) as balancer:
        work = asyncio.ensure_future(follow(api, balancer, own=own))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, work.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await work
    await api.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]).absolute(), own=sys.argv[2] == "own"))
