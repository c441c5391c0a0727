"""Ports and pod IPs: the loopback port for each containerPort, and the 10.244.x.y that a pod shows.

Ports are below the kernel's ephemeral range, so that no outgoing connection gets one in the meantime, and
above those of the labs' own servers, which are chosen seconds before they are used.
"""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import Iterable

RANGE = range(22_000, 32_000)
ADDRESS = "labkit.dev/address"
"""Annotation of a pod: the `127.0.0.1:port` of its first port."""


class Ports:
    """The loopback ports of this lab's pods."""

    def __init__(self, among: range = RANGE) -> None:
        self._among = among
        self._taken: set[int] = set()

    def take(self, count: int) -> list[int]:
        """Free ports; raises OSError, and takes none, if there are too few."""
        start = random.randrange(len(self._among))
        turn = itertools.chain(self._among[start:], self._among[:start])
        found = list(itertools.islice((p for p in turn if p not in self._taken and is_free(p)), count))
        if len(found) < count:
            where = f"between {self._among.start} and {self._among.stop} on 127.0.0.1"
            raise OSError(f"no free port {where}: {len(found)} of {count}")
        self._taken.update(found)
        return found

    def restore(self, addresses: Iterable[str]) -> None:
        """Mark ports that pods already hold, from their records."""
        self._taken |= {int(a.rpartition(":")[2]) for a in addresses}

    def release(self, addresses: Iterable[str]) -> None:
        """Release ports."""
        self._taken -= {int(a.rpartition(":")[2]) for a in addresses}


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` right now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


_HOSTS = range(2, 255)


class PodIPs:
    """The addresses that the pods of one node show: 10.244.<index>.2 to .254, more than a node takes.

    Each has one owner, and only the owner can release it. They are assigned in turn, like the CNI's
    host-local plugin does: an address that was just released may still be in an EndpointSlice.
    """

    def __init__(self, index: int) -> None:
        self._index = index
        self._owners: dict[str, str] = {}  # address -> uid of the pod
        self._next = 0

    def take(self, owner: str) -> str:
        """The next address that is free, for the pod with that uid. Raises OSError if there is none."""
        turn = (*_HOSTS[self._next :], *_HOSTS[: self._next])
        host = next((n for n in turn if self._address(n) not in self._owners), None)
        if host is None:
            raise OSError(f"no free address in 10.244.{self._index}.0/24")
        self._give(host, owner)
        return self._address(host)

    def restore(self, ip: str, owner: str) -> None:
        """Mark an address that a pod already shows; that of the node is not ours to give."""
        if ip.startswith(f"10.244.{self._index}."):
            self._give(int(ip.rpartition(".")[2]), owner)

    def release(self, ip: str, owner: str) -> bool:
        """Release an address; False if it belongs to another pod, or to none."""
        if self._owners.get(ip) != owner:
            return False
        del self._owners[ip]
        return True

    def _give(self, host: int, owner: str) -> None:
        self._owners[self._address(host)] = owner
        self._next = (host - _HOSTS.start + 1) % len(_HOSTS)

    def _address(self, host: int) -> str:
        return f"10.244.{self._index}.{host}"
