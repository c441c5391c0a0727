"""The plugin's side of the kubelet's device plugin API: which devices exist, and how containers get them.

One for each resource: whole or shared GPUs (`nvidia.com/gpu`), or slices of one profile. A device that
tenants share in time has as many ids as tenants, as NVIDIA's plugin spells them (`UUID::0`, `UUID::1`). The
kubelet decides and remembers which container gets which id. Refuses devices that are not this node's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any

import grpc

from localcluster.gpus import handout
from localcluster.gpus.device import Device
from localcluster.gpus.inventory import Inventory
from localcluster.gpus.plugin.kubelet import device_plugin_pb2 as api
from localcluster.gpus.plugin.kubelet.device_plugin_pb2_grpc import DevicePluginServicer

HEALTHY, UNHEALTHY = "Healthy", "Unhealthy"
OPTIONS = api.DevicePluginOptions(get_preferred_allocation_available=True)
_REPLICA = "::"
_LOOK_SECONDS = 0.25  # how often we look whether a device's health changed

Context = grpc.aio.ServicerContext[Any, Any]
Held = Callable[[], Awaitable[Collection[str]]]
"""The UUIDs of devices that a container holds."""


class DevicePlugin(DevicePluginServicer):
    """One node's devices of one resource; every container also gets `environment`."""

    def __init__(
        self, resource: str, inventory: Inventory, node: str, *, held: Held, environment: dict[str, str]
    ) -> None:
        self.resource = resource
        self._inventory = inventory
        self._node = node
        self._held = held
        self._environment = environment

    async def GetDevicePluginOptions(self, request: api.Empty, context: Context) -> api.DevicePluginOptions:
        """Report that we have preferences."""
        return OPTIONS

    async def ListAndWatch(
        self, request: api.Empty, context: Context
    ) -> AsyncIterator[api.ListAndWatchResponse]:
        """List all ids, and again whenever one's health or the division of the devices changes."""
        told = None
        while True:
            now = self._listed()
            if now != told:
                yield now
                told = now
            await asyncio.sleep(_LOOK_SECONDS)

    async def GetPreferredAllocation(
        self, request: api.PreferredAllocationRequest, context: Context
    ) -> api.PreferredAllocationResponse:
        """Fewest tenants first, then by index, as the embedded node does it; else the kubelet picks any."""
        chosen = [self._preferred(each) for each in request.container_requests]
        return api.PreferredAllocationResponse(container_responses=chosen)

    async def Allocate(self, request: api.AllocateRequest, context: Context) -> api.AllocateResponse:
        """What each container gets with its devices; what their last holders reported is deleted."""
        asked = [uuids(each.devices_ids) for each in request.container_requests]
        known = {device.uuid for device in self._devices()}
        if strange := [uuid for devices in asked for uuid in devices if uuid not in known]:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"{self._node} has no {', '.join(strange)}")
        shared = await self._held() if self._replicas > 1 else ()
        for device in (uuid for devices in asked for uuid in devices if uuid not in shared):
            self._inventory.wipe(device)
        return api.AllocateResponse(container_responses=[self._handed_out(devices) for devices in asked])

    async def PreStartContainer(
        self, request: api.PreStartContainerRequest, context: Context
    ) -> api.PreStartContainerResponse:
        """Nothing to do; the kubelet doesn't call it, since our options don't ask for it."""
        return api.PreStartContainerResponse()

    @property
    def _replicas(self) -> int:
        return self._inventory.sharing(self._node).replicas

    def _devices(self) -> list[Device]:
        """None while the node's GPUs are divided into another resource."""
        divided = self._inventory.sharing(self._node).resource
        return self._inventory.devices(self._node) if divided == self.resource else []

    def _listed(self) -> api.ListAndWatchResponse:
        states = [(d, UNHEALTHY if self._inventory.illness(d.uuid) else HEALTHY) for d in self._devices()]
        ids = [api.Device(ID=name, health=how) for d, how in states for name in names(d.uuid, self._replicas)]
        return api.ListAndWatchResponse(devices=ids)

    def _preferred(
        self, asked: api.ContainerPreferredAllocationRequest
    ) -> api.ContainerPreferredAllocationResponse:
        index = {device.uuid: device.index for device in self._devices()}
        chosen, left = list(asked.must_include_deviceIDs), set(asked.available_deviceIDs)
        left -= set(chosen)
        while left and len(chosen) < asked.allocation_size:
            free = Counter(map(uuid_of, left))
            best = min(left, key=lambda name: (-free[uuid_of(name)], index[uuid_of(name)], name))
            chosen.append(best)
            left.remove(best)
        return api.ContainerPreferredAllocationResponse(deviceIDs=chosen[: asked.allocation_size])

    def _handed_out(self, devices: Sequence[str]) -> api.ContainerAllocateResponse:
        return api.ContainerAllocateResponse(
            envs=self._environment | handout.environment(devices), mounts=self._mounts(devices)
        )

    def _mounts(self, devices: Iterable[str]) -> list[api.Mount]:
        return [
            api.Mount(host_path=str(each.source), container_path=each.target, read_only=each.read_only)
            for each in handout.mounts(map(self._inventory.path, devices))
        ]


def names(uuid: str, replicas: int) -> list[str]:
    """The ids of one device at the kubelet.

    >>> names("GPU-1", 2)
    ['GPU-1::0', 'GPU-1::1']
    """
    return [f"{uuid}{_REPLICA}{number}" for number in range(replicas)] if replicas > 1 else [uuid]


def uuid_of(name: str) -> str:
    """The device behind an id."""
    return name.partition(_REPLICA)[0]


def uuids(ids: Iterable[str]) -> list[str]:
    """The devices behind some ids, each once, in order."""
    return list(dict.fromkeys(map(uuid_of, ids)))
