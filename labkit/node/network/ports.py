"""Ports and pod IPs: which loopback port stands for which containerPort, and which 10.244.x.y a pod shows.

Ports are taken below the kernel's ephemeral range, so that no outgoing connection is given one meanwhile, and
above those of the labs' own servers, which are chosen seconds before anybody listens on them.
"""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import Iterable

RANGE = range(22_000, 32_000)
ADDRESS = "labkit.dev/address"
"""Annotation of a pod: the `127.0.0.1:port` that stands for its first port."""


class Ports:
    """The loopback ports of this lab's pods."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def take(self) -> int:
        """A port that nobody holds or listens on; raises OSError where there is none left."""
        start = random.randrange(len(RANGE))
        for port in itertools.chain(RANGE[start:], RANGE[:start]):
            if port not in self._taken and is_free(port):
                self._taken.add(port)
                return port
        raise OSError(f"no free port between {RANGE.start} and {RANGE.stop} on 127.0.0.1")

    def restore(self, addresses: Iterable[str]) -> None:
        """Note what pods hold already, as their records say."""
        self._taken |= {int(a.rpartition(":")[2]) for a in addresses}

    def release(self, addresses: Iterable[str]) -> None:
        """Take ports back."""
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


class PodIPs:
    """The addresses that the pods of one node show: 10.244.<index>.2 to .254, more than a node takes."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._taken: set[str] = set()

    def take(self) -> str:
        """The lowest address that is free."""
        found = next(ip for n in range(2, 255) if (ip := f"10.244.{self._index}.{n}") not in self._taken)
        self._taken.add(found)
        return found

    def restore(self, ip: str) -> None:
        """Note what a pod shows already."""
        self._taken.add(ip)

    def release(self, ip: str) -> None:
        """Take an address back."""
        self._taken.discard(ip)
