"""The policies of a lab in force, or the reason why not: what the node agent needs of this package."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from localcluster.api import Json
from localcluster.api.asynchronous import Api
from localcluster.api.events import Recorder
from localcluster.netns import plan, rules
from localcluster.node.policy import state
from localcluster.node.policy.pods import NamedPort, Pod
from localcluster.node.policy.writer import PolicyWriter

IDENTITY = "network-policies"
NOT_HERE = "This lab enforces no policies: everything is allowed. `localcluster status` says what it lacks."
PEERS = (
    Pod(
        "kube-system",
        {"k8s-app": "kube-dns"},
        plan.COREDNS,
        (NamedPort("dns", "udp", 53), NamedPort("dns-tcp", "tcp", 53)),
        peer_only=True,
    ),
    Pod("monitoring", {"app": "prometheus"}, plan.PROMETHEUS, peer_only=True),
)
"""The lab's own programs that policies can name, as they name the pods of other clusters."""


class Policies(Protocol):
    """NetworkPolicies, as pods' workers see them."""

    async def isolate(self, pod: Json, ip: str) -> None:
        """Return when the policies that select a pod hold for its address."""
        ...

    async def run(self) -> None:
        """Keep the rules in step; never returns."""
        ...


class Enforced:
    """Rules of the kernel, applied by the program `nft`."""

    def __init__(self, lab_dir: Path, nft: str, *, clock: float) -> None:
        self._api = Api(lab_dir / "kubeconfigs" / IDENTITY)
        self._recorder = Recorder(self._api, IDENTITY, clock=clock, component=IDENTITY)
        self._nft = nft
        self._writer = PolicyWriter(self._api, self._apply, self._recorder, peers=PEERS)

    async def isolate(self, pod: Json, ip: str) -> None:
        """See `PolicyWriter.isolate`."""
        await self._writer.isolate(pod, ip)

    async def run(self) -> None:
        """Follow the API server."""
        try:
            await asyncio.gather(self._writer.follow(), self._recorder.run())
        finally:
            await self._api.close()

    async def _apply(self, text: str) -> None:
        await rules.replace(self._nft, text)


class NotEnforced:
    """Where the kernel has no nf_tables, and in labs without isolation: an event on each policy says so."""

    def __init__(self, lab_dir: Path, *, clock: float) -> None:
        self._api = Api(lab_dir / "kubeconfigs" / IDENTITY)
        self._recorder = Recorder(self._api, IDENTITY, clock=clock, component=IDENTITY)
        self._told: set[str] = set()

    async def isolate(self, pod: Json, ip: str) -> None:
        """Nothing holds."""

    async def run(self) -> None:
        """Tell about each policy once."""
        try:
            await asyncio.gather(self._follow(), self._recorder.run())
        finally:
            await self._api.close()

    async def _follow(self) -> None:
        known = state.Policies()
        async for event in self._api.watch(known.path):
            known.take(event)
            for uid, reference in known.references().items():
                if uid not in self._told:
                    self._told.add(uid)
                    self._recorder.warning(reference, "PolicyNotEnforced", NOT_HERE)
