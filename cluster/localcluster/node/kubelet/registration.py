"""Keeps one simulated machine known to the API server: its Node object, its Lease, its health.

In the node's own name (`system:node:<name>`), so NodeRestriction holds: labels and taints are set when the
object is created. A Node that was deleted is registered again; a kubelet would do so at its next start.
Refuses to delete Nodes: a node that leaves the lab stops reporting, like a machine without power.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from localcluster.api import MERGE, Json
from localcluster.api.asynchronous import Api, ApiError, Change, Listed
from localcluster.errors import ClusterError
from localcluster.gpus import feature_discovery
from localcluster.gpus.inventory import Inventory
from localcluster.gpus.sharing import asked
from localcluster.node.config import NodeSpec
from localcluster.node.kubelet import node_object
from localcluster.node.kubelet.node_object import Machine

NODES = "/api/v1/nodes"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
HEARTBEAT_SECONDS = 10.0  # real time, as the kubelet's; the controller manager's patience is real time too
STATUS_SECONDS = 60.0
_LOOK_SECONDS = 1.0  # how often we look whether our own state changed
_LEASE_SECONDS = 40

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Local:
    """What a node has on this machine, checked every second: its GPUs and its images (bytes by name).

    `kubelet` is the address of its port.
    """

    spec: NodeSpec
    inventory: Inventory
    images: Callable[[], Mapping[str, int]]
    kubelet: tuple[str, int]


class Registration:
    """One node, from registration until `run` is cancelled."""

    def __init__(self, api: Api, local: Local) -> None:
        self._api = api
        self._local = local
        self._spec = local.spec
        self._machine = Machine(*local.kubelet, local.spec.gpus, time.time())
        self._uid = ""
        self._labels: dict[str, str] = {}  # as the Node has them: they may ask for its GPUs to be divided

    async def run(self) -> None:
        """Register, then stay registered and alive until cancelled."""
        await self._insist(self._register)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(HEARTBEAT_SECONDS, self._renew))
            group.create_task(self._report())
            group.create_task(self._guard())

    async def _register(self) -> None:
        self._look()
        created = node_object.node(self._spec, self._machine, now=time.time())
        try:
            self._uid = (await self._api.create(NODES, created))["metadata"]["uid"]
            log.info("registered node %s", self._spec.name)
        except ApiError as error:
            if not error.conflict:
                raise
            await self._take_over()

    async def _take_over(self) -> None:
        """The node is known from an earlier run: bring its labels and status up to date."""
        known = await self._write_labels(node_object.labels(self._spec, self._machine.sharing))
        self._uid = known["metadata"]["uid"]
        await self._write_status()

    async def _write_labels(self, labels: Json) -> Json:
        return await self._api.patch(f"{NODES}/{self._spec.name}", {"metadata": {"labels": labels}})

    def _wrong_labels(self) -> Json:
        """Our labels that the Node lacks, as GPUs are divided now; None for those of another division."""
        now = self._machine.sharing
        wanted = node_object.labels(self._spec, now)
        return feature_discovery.corrections(self._labels, wanted, now, product=self._spec.gpu_product)

    async def _write_status(self) -> None:
        status = node_object.status(self._spec, self._machine, now=time.time())
        await self._api.patch(f"{NODES}/{self._spec.name}/status", {"status": status})

    def _look(self) -> bool:
        """Apply changes of the machine; returns whether there were any."""
        before, name, inventory = self._machine, self._spec.name, self._local.inventory
        if self._labels:  # GPUs that are in use are not divided until none is held
            inventory.divide(name, asked(self._labels, product=self._spec.gpu_product))
        sharing = inventory.sharing(name)
        self._machine = replace(
            before,
            healthy_gpus=inventory.healthy(name),
            images=dict(self._local.images()),
            sharing=sharing,
            announced=before.announced | {sharing.resource},
        )
        return self._machine != before

    async def _report(self) -> None:
        """Write the status when it changes, and once a minute."""
        written = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._look() or time.monotonic() - written >= STATUS_SECONDS:
                await self._insist(self._write_status)
                written = time.monotonic()
            if self._labels and (labels := self._wrong_labels()):
                await self._insist(partial(self._write_labels, labels))

    async def _renew(self) -> None:
        name = self._spec.name
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = {"holderIdentity": name, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": now}
        try:
            await self._api.patch(f"{LEASES}/{name}", {"spec": spec}, kind=MERGE)
        except ApiError as error:
            if not error.gone:
                raise
            owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": self._uid}
            meta = {"name": name, "namespace": "kube-node-lease", "ownerReferences": [owner]}
            kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
            await self._api.create(LEASES, kind | {"metadata": meta, "spec": spec})

    async def _guard(self) -> None:
        """Register again if the Node is deleted; record what its labels ask for."""
        async for event in self._api.watch(NODES, fieldSelector=f"metadata.name={self._spec.name}"):
            self._labels = _labels_of(event)
            if _lost(event):
                await self._insist(self._register)
                await self._insist(self._renew)

    async def _every(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._insist(act)
            await asyncio.sleep(seconds)

    async def _insist(self, act: Callable[[], Awaitable[object]]) -> None:
        """Until it works: the API server may be starting, unreachable, or still without its first rules."""
        pause = 0.1
        while True:
            try:
                await act()
            except ClusterError as error:
                log.warning("node %s: %s", self._spec.name, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
            else:
                return


def _labels_of(event: Listed | Change) -> dict[str, str]:
    """The Node's labels as an event shows them; none if it is gone."""
    seen = event.items[-1:] if isinstance(event, Listed) else (event.object,)
    return next((dict(node["metadata"].get("labels") or {}) for node in seen if not _lost(event)), {})


def _lost(event: Listed | Change) -> bool:
    if isinstance(event, Listed):
        return not event.items
    return event.type == "DELETED"
