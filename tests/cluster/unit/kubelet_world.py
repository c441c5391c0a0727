"""The kubelet's side of the device plugin API on real Unix sockets, for tests of a plugin.

It does what matters to a plugin as the kubelet does it: empties its plugin folder of sockets when it starts,
calls a plugin back at the socket that it announced, follows its devices, and says who holds what.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from localcluster.gpus.plugin.kubelet import device_plugin_pb2 as api
from localcluster.gpus.plugin.kubelet import pod_resources_pb2 as resources
from localcluster.gpus.plugin.kubelet.device_plugin_pb2_grpc import (
    DevicePluginStub,
    RegistrationServicer,
    add_RegistrationServicer_to_server,
)
from localcluster.gpus.plugin.kubelet.pod_resources_pb2_grpc import (
    PodResourcesListerServicer,
    add_PodResourcesListerServicer_to_server,
)

if TYPE_CHECKING:
    from localcluster.gpus.plugin.kubelet.device_plugin_pb2_grpc import DevicePluginAsyncStub  # a type only

Context = grpc.aio.ServicerContext[Any, Any]
WITHIN = 20.0


class Kubelet(RegistrationServicer, PodResourcesListerServicer):
    """One start of a kubelet; what plugins told it since."""

    def __init__(self, folder: Path) -> None:
        self.plugins = folder / "device-plugins"
        self.registered: list[api.RegisterRequest] = []
        self.devices: dict[str, str] = {}  # UUID -> health, as last told
        self.holders = resources.ListPodResourcesResponse()
        self._changed = asyncio.Condition()
        self._followers: list[asyncio.Task[None]] = []

    async def Register(self, request: api.RegisterRequest, context: Context) -> api.Empty:  # noqa: N802
        self.registered.append(request)
        self._followers.append(asyncio.create_task(self._follow()))
        return api.Empty()

    async def List(  # noqa: N802
        self, request: resources.ListPodResourcesRequest, context: Context
    ) -> resources.ListPodResourcesResponse:
        return self.holders

    async def _follow(self) -> None:
        async with self.plugin() as stub:
            with suppress(grpc.aio.AioRpcError):
                async for told in stub.ListAndWatch(api.Empty()):
                    await self._take({device.ID: device.health for device in told.devices})
        await self._take(dict.fromkeys(self.devices, "Unhealthy"))  # it is gone

    async def _take(self, devices: dict[str, str]) -> None:
        async with self._changed:
            self.devices = devices
            self._changed.notify_all()

    async def healthy(self, count: int) -> list[str]:
        """Wait until so many devices are healthy; which."""

        def now() -> list[str]:
            return [uuid for uuid, health in self.devices.items() if health == "Healthy"]

        async with self._changed, asyncio.timeout(WITHIN):
            await self._changed.wait_for(lambda: len(now()) == count)
        return now()

    @asynccontextmanager
    async def plugin(self) -> AsyncIterator[DevicePluginAsyncStub]:
        """The plugin that registered last."""
        socket = self.plugins / self.registered[-1].endpoint
        async with grpc.aio.insecure_channel(f"unix://{socket}") as channel:
            yield DevicePluginStub(channel)

    async def allocate(self, *devices: str) -> api.ContainerAllocateResponse:
        """What one container gets with these devices."""
        asked = api.AllocateRequest(container_requests=[api.ContainerAllocateRequest(devices_ids=devices)])
        async with self.plugin() as stub:
            [answer] = (await stub.Allocate(asked)).container_responses
        return answer

    def give(self, device: str, *, pod: str, namespace: str = "llm-lab", container: str = "server") -> None:
        """Note who holds a device."""
        devices = resources.ContainerDevices(resource_name="nvidia.com/gpu", device_ids=[device])
        held = resources.ContainerResources(name=container, devices=[devices])
        self.holders.pod_resources.append(
            resources.PodResources(name=pod, namespace=namespace, containers=[held])
        )


@asynccontextmanager
async def kubelet(folder: Path) -> AsyncIterator[Kubelet]:
    """A kubelet that starts now, and stops at the end."""
    running = Kubelet(folder)
    server = grpc.aio.server()
    add_RegistrationServicer_to_server(running, server)
    add_PodResourcesListerServicer_to_server(running, server)
    for place in ("device-plugins", "pod-resources"):
        (folder / place).mkdir(exist_ok=True)
        for socket in (folder / place).glob("*.sock"):
            socket.unlink()
        server.add_insecure_port(f"unix://{folder / place / 'kubelet.sock'}")
    await server.start()
    try:
        yield running
    finally:
        for follower in running._followers:
            follower.cancel()
        await asyncio.gather(*running._followers, return_exceptions=True)
        await server.stop(None)
