"""Ports of nodes that lead to pods (`hostPort`): one nftables table for all of the lab's, as CNI's portmap.

https://www.cni.dev/plugins/current/meta/portmap/
A node's address is one of the lab's own network, so pods and `labkit` reach it, and nothing outside does. All
nodes share one loopback interface: a port for 127.0.0.1 alone leads nowhere. Needs a lab with nftables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from localcluster.api import Json
from localcluster.netns import rules

TABLE = "labkit-host-ports"
_ANY = "0.0.0.0"  # noqa: S104 - as the API means it
_HOOKS = ("prerouting", "output")
_PRIORITY = -100  # dstnat, which has no name for output


@dataclass(frozen=True)
class Forward:
    """One port of a node; `protocol` as nft writes it."""

    node: str
    protocol: str
    port: int
    pod: str
    target: int


def declared(spec: Json) -> Iterator[tuple[str, Json]]:
    """The ports of a pod that its node is to have, too: (container, port); none on its node's network."""
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        for port in container.get("ports") or ():
            if port.get("hostPort") and not spec.get("hostNetwork"):
                yield str(container["name"]), port


def can_lead(port: Json, node: str) -> bool:
    """Whether the address that a port is for is the node's."""
    return (port.get("hostIP") or _ANY) in {_ANY, node}


def forwards(spec: Json, node: str, pod: str) -> tuple[Forward, ...]:
    """What leads to a pod from its node."""
    return tuple(
        Forward(
            node, str(p.get("protocol") or "TCP").lower(), int(p["hostPort"]), pod, int(p["containerPort"])
        )
        for _, p in declared(spec)
        if can_lead(p, node)
    )


def ruleset(all_of_them: Mapping[str, tuple[Forward, ...]]) -> str:
    """The text for `nft -f -` that replaces the whole table."""
    lead = [
        f"    ip daddr {f.node} {f.protocol} dport {f.port} dnat to {f.pod}:{f.target}"
        for several in all_of_them.values()
        for f in several
    ]
    lines = [f"add table ip {TABLE}", f"delete table ip {TABLE}", f"table ip {TABLE} {{"]
    lines += ["  chain ports {", *sorted(lead), "  }"]
    for hook in _HOOKS:
        lines += [f"  chain {hook} {{", f"    type nat hook {hook} priority {_PRIORITY}; policy accept;"]
        lines += ["    jump ports", "  }"]
    return "\n".join([*lines, "}"]) + "\n"


class HostPorts:
    """The host ports of all pods of the agent; `nft` is the program, empty where there is none."""

    def __init__(self, nft: str) -> None:
        self._nft = nft
        self._forwards: dict[str, tuple[Forward, ...]] = {}
        self._applied = ""
        self._applying = asyncio.Lock()

    @property
    def work(self) -> bool:
        """Whether host ports lead anywhere in this lab."""
        return bool(self._nft)

    async def begin(self) -> None:
        """Forget what an earlier agent forwarded: its pods' workers open them again. Raises `LabError`."""
        if self.work:
            await self._apply()

    async def open(self, uid: str, spec: Json, node: str, pod: str) -> None:
        """Return when a pod's host ports lead to it; raises `LabError`."""
        wanted = forwards(spec, node, pod) if self.work else ()
        if wanted and self._forwards.get(uid) != wanted:
            self._forwards[uid] = wanted
            await self._apply()

    async def close(self, uid: str) -> None:
        """A pod's host ports lead nowhere any more; raises `LabError`."""
        if self._forwards.pop(uid, None):
            await self._apply()

    async def _apply(self) -> None:
        async with self._applying:
            text = ruleset(self._forwards)
            if text == self._applied:
                return
            await rules.replace(self._nft, text)
            self._applied = text
