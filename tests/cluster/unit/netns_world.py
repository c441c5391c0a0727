"""Network namespaces for tests: fresh ones, and those of a lab whose holder and edge are real processes.

What runs in one is a function of a module, with arguments and a result that can be pickled.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from subprocess import Popen  # noqa: TID251 - a type
from typing import ParamSpec, Self, TypeVar

import psutil

from localcluster import polling, setns, spawn
from localcluster.layout import Layout
from localcluster.netns import doors, enter, furnish, holder
from localcluster.toolchain.locate import bwrap

P = ParamSpec("P")
T = TypeVar("T")
SECONDS = 60.0
PYTHON = (sys.executable, "-P", "-m")
_TRY = "from localcluster import setns; setns.new_user(); setns.unshare(setns.NEW_NET)"


def usable() -> bool:
    """Whether this host lets its users make network namespaces."""
    return spawn.run([sys.executable, "-c", _TRY]).returncode == 0


REFUSED = "this host refuses user namespaces"


def network() -> int:
    """The calling thread's network namespace, as its inode number."""
    return Path("/proc/thread-self/ns/net").stat().st_ino


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def network_of(pid: int) -> int:
    """A process' network namespace, as its inode number."""
    return Path(f"/proc/{pid}/ns/net").stat().st_ino


class Worker:
    """A process that runs functions elsewhere; use as a context."""

    def __init__(self, initializer: Callable[[], None]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=initializer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function there; what it raises is raised here."""
        return self.submit(function, *args, **kwargs).result(SECONDS)

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begin to call it."""
        return self._pool.submit(function, *args, **kwargs)


class Fresh(Worker):
    """Each call runs in a new network namespace; they all belong to one new user namespace."""

    def __init__(self) -> None:
        super().__init__(setns.new_user)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function there; what it raises is raised here."""
        return super().call(partial(_in_a_new_network, function, *args, **kwargs))


def _in_a_new_network(function: Callable[..., T], *args: object, **kwargs: object) -> T:
    setns.unshare(setns.NEW_NET)
    return function(*args, **kwargs)


@dataclass
class Lab:
    """A lab's folder, and the processes that a test started in it."""

    dir: Path
    services: str = furnish.OWN
    children: dict[str, Popen[bytes]] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        return Layout(self.dir)

    def hold(self) -> int:
        """Start the holder; its pid, once the namespace is ready."""
        ready = self.dir / furnish.READY
        ready.unlink(missing_ok=True)
        where = [str(self.dir), self.services, shutil.which("nft") or "nft", str(bwrap())]
        self.start(holder.COMPONENT, [*PYTHON, "localcluster.netns.holder", *where])
        self._until(holder.COMPONENT, ready.exists)
        return holder.pid_of(self.dir)

    def edge(self, *before: str) -> int:
        """Start the edge, with the words of another command before it; its pid, once it answers."""
        ready = [self.dir / name for name in (doors.INSIDE, doors.OUTSIDE)]
        for path in ready:
            path.unlink(missing_ok=True)
        self.start("edge", [*before, *PYTHON, "localcluster.netns.edge", str(self.dir)])
        self._until("edge", lambda: all(path.exists() for path in ready))
        return self.children["edge"].pid

    def start(self, name: str, argv: Sequence[str]) -> None:
        """Start a process of the lab, and record it as the supervisor does."""
        env = {**os.environ, spawn.MARKER: str(self.dir)}
        child = spawn.popen(argv, log=self.layout.log(name), env=env)
        self.children[name] = child
        spawn.Proc.of(child.pid, argv).save(self.layout.record(name))

    def start_inside(self, name: str, *argv: str) -> None:
        """Start a process in the lab's namespace."""
        pid = holder.pid_of(self.dir)
        self.start(name, [*enter.command(pid), *argv])
        where = network_of(pid)
        self._until(name, lambda: network_of(self.children[name].pid) == where)

    def serve(self, name: str, ip: str, port: int) -> str:
        """Start a server in the lab that answers with its name and what it was sent; its `ip:port`."""
        program = str(Path(__file__).with_name("netns_server.py"))
        self.start_inside(name, sys.executable, program, name, ip, str(port))
        self._until(name, lambda: "listens" in self.log(name))
        return f"{ip}:{port}"

    def kill(self, name: str) -> None:
        """SIGKILL; returns when it is gone."""
        self.children[name].kill()
        self.children.pop(name).wait()
        if name == holder.COMPONENT:  # bubblewrap's child, the holder itself, ends with it
            polling.until(lambda: not self._held(), "the holder to end", seconds=SECONDS)

    def _held(self) -> bool:
        try:
            return holder.pid_of(self.dir) > 0
        except ProcessLookupError:
            return False

    def log(self, name: str) -> str:
        """What a process said so far."""
        path = self.layout.log(name)
        return path.read_text() if path.exists() else ""

    def worker(self) -> Worker:
        """Functions run in the lab's namespace."""
        return Worker(partial(_join, holder.pid_of(self.dir)))

    def _until(self, name: str, ready: Callable[[], bool]) -> None:
        def probe() -> bool:
            assert self.children[name].poll() is None, self.log(name)
            return ready()

        polling.until(probe, f"{name} to be ready", seconds=SECONDS, last_seen=partial(self.log, name))


def _join(pid: int) -> None:
    with setns.namespaces_of(pid) as (user, net):
        setns.join(user, net)


@contextlib.contextmanager
def lab(folder: Path, services: str = furnish.OWN) -> Iterator[Lab]:
    """A lab with nothing in it; its processes end with the block."""
    for name in ("run", "logs"):
        (folder / name).mkdir(parents=True)
    made = Lab(folder, services)
    try:
        yield made
    finally:
        spawn.end(spawn.marked(folder), grace=0)
        for child in made.children.values():
            child.wait()


def ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for somebody to take its exit status."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
