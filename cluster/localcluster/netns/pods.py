"""A network namespace for each pod: eth0 with the pod's own address, routed; joined by all its containers.

So is its IPC namespace, which a pod on its node's network has, too.

There is no bridge. Each packet between pods is forwarded by the lab, so policies see it. A namespace lives as
long as a process in it, or as the agent holds it; the kernel removes its links then. Making one takes 1 to
2 ms; deleting a link by hand would take 20.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from localcluster import setns
from localcluster.netns import sysctls
from localcluster.netns.plan import GATEWAY
from localcluster.netns.rtnl import Netlink

_OWNER = 0xB701  # NS_GET_USERNS: ioctl_ns(2)


class PodNetworks:
    """The networks of the agent's pods; the agent itself is in the lab's namespace."""

    def __init__(self) -> None:
        self._lab = _opened("/proc/self/ns/net")
        setns.unshare(setns.NEW_IPC)  # there is no way back into the machine's own
        self._labs_ipc = _opened("/proc/thread-self/ns/ipc")
        self._held: dict[str, int] = {}
        self._ipc: dict[str, int] = {}
        self._netlink = Netlink()

    def make(self, uid: str, ip: str) -> None:
        """Give a pod its network; nothing happens if it has one."""
        if uid not in self._held:
            self._held[uid] = self._made(ip, _link())

    def make_ipc(self, uid: str) -> None:
        """Give a pod its IPC namespace; nothing happens if it has one."""
        if uid in self._ipc:
            return
        setns.unshare(setns.NEW_IPC)
        try:
            self._ipc[uid] = _opened("/proc/thread-self/ns/ipc")
        finally:
            setns.setns(self._labs_ipc, setns.NEW_IPC)

    def adopt_ipc(self, uid: str, pid: int) -> None:
        """Take up the IPC namespace of a process of the pod, if it is the pod's; else make one."""
        with contextlib.suppress(OSError):  # it has ended
            handle = _opened(f"/proc/{pid}/ns/ipc")
            if _owner(handle) == Path("/proc/self/ns/user").stat().st_ino:
                self._ipc[uid] = handle
            else:
                os.close(handle)
        self.make_ipc(uid)

    def adopt(self, uid: str, pid: int) -> bool:
        """Take up the network in which a process of the pod runs; False if it is of another lab's time."""
        try:
            handle = _opened(f"/proc/{pid}/ns/net")
        except OSError:  # it has ended
            return False
        if _owner(handle) != Path("/proc/self/ns/user").stat().st_ino:
            os.close(handle)
            return False
        if (old := self._held.pop(uid, None)) is not None:
            os.close(old)
        self._held[uid] = handle
        return True

    def drop(self, uid: str) -> None:
        """Let go of a pod's namespaces; they end with its last process."""
        for held in (self._held, self._ipc):
            if (handle := held.pop(uid, None)) is not None:
                os.close(handle)

    @contextlib.contextmanager
    def inside(self, uid: str) -> Iterator[None]:
        """What this thread makes meanwhile, processes and sockets, belongs to the pod's namespaces.

        Nothing may be awaited in this block: other tasks would run in the pod's network. Raises
        `RuntimeError` at its end if something was. A pod on its node's network has none of its own.
        """
        net = _within(self._held.get(uid), self._lab, setns.NEW_NET)
        ipc = _within(self._ipc.get(uid), self._labs_ipc, setns.NEW_IPC)
        with _uninterrupted(), net, ipc:
            yield

    def enter(self, uid: str) -> None:
        """Move this thread into a pod's network for good; what it becomes by exec is there, too."""
        setns.setns(self._held[uid], setns.NEW_NET)

    def _made(self, ip: str, name: str) -> int:
        setns.unshare(setns.NEW_NET)
        try:
            pod = _opened("/proc/thread-self/ns/net")
            sysctls.as_in_pods()
        finally:
            setns.setns(self._lab, setns.NEW_NET)
        try:
            self._netlink.veth(name, "eth0", pod)
            self._furnish(pod, ip)
            self._netlink.up(name)
            self._netlink.forward(name)
            self._netlink.route(ip, name, source=GATEWAY)
        except OSError:
            os.close(pod)
            raise
        return pod

    def _furnish(self, pod: int, ip: str) -> None:
        setns.setns(pod, setns.NEW_NET)
        try:
            with Netlink() as there:
                there.up("lo")
                there.address("eth0", ip)
                there.up("eth0")
                there.route(GATEWAY, "eth0")
                there.route("0.0.0.0/0", "eth0", via=GATEWAY)
        finally:
            setns.setns(self._lab, setns.NEW_NET)


@contextlib.contextmanager
def _within(handle: int | None, home: int, kind: int) -> Iterator[None]:
    """In a namespace, if there is one; then back home."""
    if handle is None:
        yield
        return
    setns.setns(handle, kind)
    try:
        yield
    finally:
        setns.setns(home, kind)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Raises `RuntimeError` if the event loop ran something else during the block."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # a thread without one: nobody can be interrupted
        yield
        return
    switched: list[bool] = []
    watch = loop.call_soon(switched.append, True)
    try:
        yield
    finally:
        watch.cancel()
        if switched:
            raise RuntimeError("other tasks ran in a pod's network: something was awaited in the block")


def _link() -> str:
    """A name for a pod's link on the lab's side, new each time: an old one may be about to go."""
    return f"veth{secrets.token_hex(4)}"


def _opened(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _owner(network: int) -> int:
    """The user namespace to which a network namespace belongs, as its inode number; 0 for a stranger."""
    try:
        handle = fcntl.ioctl(network, _OWNER)
    except PermissionError:
        return 0
    try:
        return os.fstat(handle).st_ino
    finally:
        os.close(handle)
