"""How the pods of an agent are connected: each with a network of its own, or all on this machine's loopback.

`OwnNetworks` is the rule: a pod's address and ports are what they say. `Loopback` is for labs without
isolation (`--isolation none`), where there are no namespaces: addresses exist in the API only, each declared
port is a port of 127.0.0.1, and an address book says which.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Protocol

from localcluster.netns import plan
from localcluster.netns.pods import PodNetworks
from localcluster.netns.rtnl import Netlink
from localcluster.node.network.addresses import AddressBook
from localcluster.node.network.ports import Ports

Address = tuple[str, int]
LOOPBACK = "127.0.0.1"
_PODS = ip_network(plan.PODS)


class Network(Protocol):
    """What the agent needs of it; addresses are `ip:port`."""

    own: bool
    """Whether each pod has its own network."""

    def node_ip(self, index: int) -> str:
        """InternalIP of a node; it can be listened on afterwards."""
        ...

    def ports(self, ip: str, declared: Iterable[int]) -> dict[str, str]:
        """Where the declared ports of a container really are. Raises OSError if none is free."""
        ...

    def make(self, uid: str, ip: str) -> None:
        """Connect a pod that was admitted."""
        ...

    def adopt(self, uid: str, ip: str, ports: Mapping[str, Mapping[str, str]], pids: Iterable[int]) -> bool:
        """Take up the network of a pod of an earlier agent; False if its processes are in another one."""
        ...

    def publish(self, ip: str, ports: Mapping[int, str]) -> None:
        """From now on the pod can be reached."""
        ...

    def drop(self, uid: str, ip: str) -> None:
        """The pod is over; `ip` is empty if its address was not released."""
        ...

    def release(self, ports: Iterable[str]) -> None:
        """A container's ports are released."""
        ...

    def retain(self, ips: set[str]) -> None:
        """These pods are all that an earlier agent left."""
        ...

    def inside(self, uid: str) -> contextlib.AbstractContextManager[None]:
        """What is made in this block, without awaiting, belongs to the pod's network."""
        ...

    def where(self, host: str, port: int) -> Address:
        """What to dial for an address that a manifest names."""
        ...


class OwnNetworks:
    """Network namespaces, in the lab's own."""

    own = True

    def __init__(self) -> None:
        self._pods = PodNetworks()
        self._nodes: set[str] = set()  # the addresses that this agent has made

    def node_ip(self, index: int) -> str:
        """An address on the lab's own loopback link; each status of a pod asks for it."""
        ip = plan.node_ip(index)
        if ip not in self._nodes:
            with Netlink() as net:
                net.address("lo", ip)
            self._nodes.add(ip)
        return ip

    def ports(self, ip: str, declared: Iterable[int]) -> dict[str, str]:
        """As declared."""
        return {str(port): f"{ip}:{port}" for port in declared}

    def make(self, uid: str, ip: str) -> None:
        """Its namespaces; no network of its own if the pod is on its node's."""
        self._pods.make_ipc(uid)
        if ip_address(ip) in _PODS:
            self._pods.make(uid, ip)

    def adopt(self, uid: str, ip: str, ports: Mapping[str, Mapping[str, str]], pids: Iterable[int]) -> bool:
        """The namespace of its processes; a new one if it has none."""
        del ports
        alive = next(iter(pids), None)
        if alive is None:
            self.make(uid, ip)
            return True
        if ip_address(ip) in _PODS and not self._pods.adopt(uid, alive):
            return False
        self._pods.adopt_ipc(uid, alive)
        return True

    def publish(self, ip: str, ports: Mapping[int, str]) -> None:
        """Nothing to do."""

    def drop(self, uid: str, ip: str) -> None:
        """The namespace ends with its last process."""
        del ip
        self._pods.drop(uid)

    def release(self, ports: Iterable[str]) -> None:
        """Nothing to do."""

    def retain(self, ips: set[str]) -> None:
        """Nothing to do."""

    def inside(self, uid: str) -> contextlib.AbstractContextManager[None]:
        """In its namespace."""
        return self._pods.inside(uid)

    def where(self, host: str, port: int) -> Address:
        """As it says."""
        return host, port


class Loopback:
    """Ports of 127.0.0.1, and the book in which others look them up."""

    own = False

    def __init__(self, lab_dir: Path) -> None:
        self._ports = Ports()
        self._book = AddressBook(lab_dir)

    def node_ip(self, index: int) -> str:
        """The same for all nodes."""
        del index
        return LOOPBACK

    def ports(self, ip: str, declared: Iterable[int]) -> dict[str, str]:
        """A free port of this machine for each."""
        del ip
        once = dict.fromkeys(declared)  # a manifest may name one twice
        taken = self._ports.take(len(once))
        return {str(port): f"{LOOPBACK}:{real}" for port, real in zip(once, taken, strict=True)}

    def make(self, uid: str, ip: str) -> None:
        """Nothing to do."""

    def adopt(self, uid: str, ip: str, ports: Mapping[str, Mapping[str, str]], pids: Iterable[int]) -> bool:
        """Mark its ports as taken."""
        del uid, ip, pids
        for taken in ports.values():
            self._ports.restore(taken.values())
        return True

    def publish(self, ip: str, ports: Mapping[int, str]) -> None:
        """Write it into the book."""
        self._book.publish(ip, ports)

    def drop(self, uid: str, ip: str) -> None:
        """Remove it from the book."""
        del uid
        if ip:
            self._book.withdraw(ip)

    def release(self, ports: Iterable[str]) -> None:
        """Others may have them."""
        self._ports.release(ports)

    def retain(self, ips: set[str]) -> None:
        """Remove all others from the book."""
        self._book.retain(ips)

    @contextlib.contextmanager
    def inside(self, uid: str) -> Iterator[None]:
        """There is only one network."""
        del uid
        yield

    def where(self, host: str, port: int) -> Address:
        """A pod's port by the book, or the same port of this machine; other hosts unchanged."""
        try:
            if ip_address(host) not in _PODS:
                return host, port
        except ValueError:
            return host, port
        return self._book.lookup(host, port) or (LOOPBACK, port)
