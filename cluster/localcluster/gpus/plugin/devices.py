"""The plugin's side of the kubelet's device plugin API: which devices exist, and how containers get them.

The kubelet decides and remembers which container gets which device. Refuses devices that are not this node's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import grpc

from localcluster.gpus import handout
from localcluster.gpus.inventory import Inventory
from localcluster.gpus.plugin.kubelet import device_plugin_pb2 as api
from localcluster.gpus.plugin.kubelet.device_plugin_pb2_grpc import DevicePluginServicer

HEALTHY, UNHEALTHY = "Healthy", "Unhealthy"
OPTIONS = api.DevicePluginOptions(get_preferred_allocation_available=True)
_LOOK_SECONDS = 0.25  # how often we look whether a device's health changed

Context = grpc.aio.ServicerContext[Any, Any]


class DevicePlugin(DevicePluginServicer):
    """One node's devices; every container also gets `environment`."""

    def __init__(self, inventory: Inventory, node: str, *, environment: dict[str, str]) -> None:
        self._inventory = inventory
        self._node = node
        self._environment = environment

    async def GetDevicePluginOptions(self, request: api.Empty, context: Context) -> api.DevicePluginOptions:
        """Report that we have preferences."""
        return OPTIONS

    async def ListAndWatch(
        self, request: api.Empty, context: Context
    ) -> AsyncIterator[api.ListAndWatchResponse]:
        """List all devices, and again whenever the health of one changes."""
        told = None
        while True:
            now = self._devices()
            if now != told:
                yield now
                told = now
            await asyncio.sleep(_LOOK_SECONDS)

    async def GetPreferredAllocation(
        self, request: api.PreferredAllocationRequest, context: Context
    ) -> api.PreferredAllocationResponse:
        """Lowest index first, as the embedded node does it; the kubelet's own choice is random."""
        chosen = [self._preferred(each) for each in request.container_requests]
        return api.PreferredAllocationResponse(container_responses=chosen)

    async def Allocate(self, request: api.AllocateRequest, context: Context) -> api.AllocateResponse:
        """What each container gets with its devices; what their last holders reported is deleted."""
        asked = [list(each.devices_ids) for each in request.container_requests]
        known = {device.uuid for device in self._inventory.devices(self._node)}
        if strange := [uuid for devices in asked for uuid in devices if uuid not in known]:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"{self._node} has no {', '.join(strange)}")
        for device in (uuid for devices in asked for uuid in devices):
            self._inventory.wipe(device)
        return api.AllocateResponse(container_responses=[self._handed_out(devices) for devices in asked])

    async def PreStartContainer(
        self, request: api.PreStartContainerRequest, context: Context
    ) -> api.PreStartContainerResponse:
        """Nothing to do; the kubelet doesn't call it, since our options don't ask for it."""
        return api.PreStartContainerResponse()

    def _devices(self) -> api.ListAndWatchResponse:
        devices = self._inventory.devices(self._node)
        states = [(d.uuid, UNHEALTHY if self._inventory.illness(d.uuid) else HEALTHY) for d in devices]
        return api.ListAndWatchResponse(devices=[api.Device(ID=uuid, health=how) for uuid, how in states])

    def _preferred(
        self, asked: api.ContainerPreferredAllocationRequest
    ) -> api.ContainerPreferredAllocationResponse:
        order = {device.uuid: device.index for device in self._inventory.devices(self._node)}
        chosen = list(asked.must_include_deviceIDs)
        others = sorted(set(asked.available_deviceIDs) - set(chosen), key=lambda uuid: order[uuid])
        return api.ContainerPreferredAllocationResponse(deviceIDs=(chosen + others)[: asked.allocation_size])

    def _handed_out(self, devices: Sequence[str]) -> api.ContainerAllocateResponse:
        return api.ContainerAllocateResponse(
            envs=self._environment | handout.environment(devices), mounts=self._mounts(devices)
        )

    def _mounts(self, devices: Iterable[str]) -> list[api.Mount]:
        return [
            api.Mount(host_path=str(each.source), container_path=each.target, read_only=each.read_only)
            for each in handout.mounts(map(self._inventory.path, devices))
        ]
