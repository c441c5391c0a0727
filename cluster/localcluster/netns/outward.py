"""aiohttp connections out of the lab: names and sockets come from the lab's edge, on this machine's network.

For the node agent's pulls from other registries; the lab itself has no way to the internet.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from localcluster.netns import doors


class Outward:
    """For `aiohttp.TCPConnector`: `resolver=outward.resolver(), socket_factory=outward.socket`."""

    def __init__(self, lab_dir: Path) -> None:
        self._lab_dir = lab_dir

    def resolver(self) -> AbstractResolver:
        """Names as this machine resolves them."""
        return _Resolver(self._lab_dir)

    def socket(self, address: AddrInfoType) -> socket.socket:
        """A socket of this machine's network."""
        return doors.outward(self._lab_dir, address[0])


class _Resolver(AbstractResolver):
    def __init__(self, lab_dir: Path) -> None:
        self._lab_dir = lab_dir

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises `OSError` if there is no such name."""
        found = await asyncio.to_thread(doors.resolved, self._lab_dir, host, port)
        wanted = [(kind, ip) for kind, ip in found if family in {kind, socket.AF_UNSPEC}]
        return [
            ResolveResult(
                hostname=host, host=ip, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST
            )
            for kind, ip in wanted
        ]

    async def close(self) -> None:
        """Nothing to do."""
