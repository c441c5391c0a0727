"""What happens when a GPU fails: the node reports it, and the pod that held it is deleted, to be replaced.

A kubelet leaves the pod where it is. Its container dies with the device and is restarted on the same one,
again and again: devices are assigned once in a pod's life. So the program that watches the health of GPUs
deletes the pod, as Kubernetes itself does for devices of DRA (https://kep.k8s.io/5055), and its ReplicaSet
makes another one. A pod without an owner is not replaced. PodDisruptionBudgets don't apply: there is nothing
left to protect.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from localcluster.api import Json
from localcluster.api.asynchronous import Api, ApiError, Change, Listed
from localcluster.api.events import Recorder, node_reference, pod_reference
from localcluster.errors import ClusterError
from localcluster.gpus import faults
from localcluster.gpus.device import Device
from localcluster.gpus.holder import Holder
from localcluster.gpus.inventory import Inventory

COMPONENT = "gpu-health"
PATIENCE = 30.0
"""Lab seconds from the failure of a device to the end of its pod: long enough to see what happens."""
_LOOK_SECONDS = 0.25
_RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ward:
    """The devices of one node, and their holders (by UUID)."""

    node: str
    inventory: Inventory
    holders: Callable[[], Awaitable[Mapping[str, Holder]]]


class Health:
    """Looks after the devices of one node; `changed` is called when one failed or was healed."""

    def __init__(
        self, api: Api, ward: Ward, *, clock: float, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._api = api
        self._ward = ward
        self._patience = PATIENCE / clock
        self._changed = changed
        self._node: Json = {}  # as last seen
        self._recorder = Recorder(api, ward.node, clock=clock, component=COMPONENT)

    async def run(self) -> None:
        """Watch the node and its devices until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run())
            group.create_task(self._obey())
            group.create_task(self._clear())

    async def _obey(self) -> None:
        """Make devices fail and heal as the node's annotations say."""
        selector = f"metadata.name={self._ward.node}"
        async for event in self._api.watch("/api/v1/nodes", fieldSelector=selector):
            for node in _nodes(event):
                self._node = node
                wanted = faults.wanted(node)
                for device in self._ward.inventory.devices(self._ward.node):
                    self._set(device, wanted.get(device.uuid), node)

    def _set(self, device: Device, reason: str | None, node: Json) -> None:
        inventory, about = self._ward.inventory, node_reference(node)
        if reason == inventory.illness(device.uuid):
            return
        if reason:
            inventory.fail(device.uuid, reason)
            self._recorder.warning(about, "GPUUnhealthy", f"{_name(device)} failed: {reason}")
        else:
            inventory.heal(device.uuid)
            self._recorder.normal(about, "GPUHealthy", f"{_name(device)} is healthy again")
        self._changed()

    async def _clear(self) -> None:
        """Delete pods that hold a device which has been dead for a while.

        Not before the scheduler knows of it, or the next pod would be sent to the dead device.
        """
        while True:
            try:
                if (dead := self._dead()) and self._announced():
                    holders = await self._ward.holders()
                    for device in dead:
                        if holder := holders.get(device.uuid):
                            await self._evict(holder, device)
            except ClusterError as error:
                log.warning("could not clear a failed GPU: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            await asyncio.sleep(_LOOK_SECONDS)

    def _announced(self) -> bool:
        status = self._node.get("status", {})
        resource = self._ward.inventory.sharing(self._ward.node).resource
        allocatable = int(status.get("allocatable", {}).get(resource, 0))
        return allocatable <= self._ward.inventory.healthy(self._ward.node)

    def _dead(self) -> list[Device]:
        inventory = self._ward.inventory
        since = [(d, inventory.ill_since(d.uuid)) for d in inventory.devices(self._ward.node)]
        return [d for d, moment in since if moment and time.time() - moment >= self._patience]

    async def _evict(self, holder: Holder, device: Device) -> None:
        path = f"/api/v1/namespaces/{holder.namespace}/pods/{holder.pod}"
        try:
            pod = await self._api.get(path)
            elsewhere = pod["spec"].get("nodeName") != self._ward.node  # a later pod of that name
            if elsewhere or pod["metadata"].get("deletionTimestamp"):
                return
            why = self._ward.inventory.illness(device.uuid)
            message = f"Deleting pod: {_name(device)} of container {holder.container} failed: {why}"
            self._recorder.warning(pod_reference(pod), "GPUHealthEviction", message)
            log.info("%s/%s: %s", holder.namespace, holder.pod, message)
            await self._api.delete(path, {"preconditions": {"uid": pod["metadata"]["uid"]}})
        except ApiError as error:
            if not (error.gone or error.conflict):
                raise


def _nodes(event: Listed | Change) -> tuple[Json, ...]:
    if isinstance(event, Listed):
        return event.items
    return () if event.type == "DELETED" else (event.object,)


def _name(device: Device) -> str:
    return f"GPU {device.index} ({device.uuid})"
