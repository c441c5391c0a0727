"""Keeps one resource of the plugin known to the kubelet, through every restart of either.

A kubelet that starts removes all sockets in its plugin folder, its own included, and then listens again: if a
socket changes or disappears, serve and register again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc

from localcluster.gpus.plugin.devices import OPTIONS, DevicePlugin
from localcluster.gpus.plugin.kubelet import device_plugin_pb2 as api
from localcluster.gpus.plugin.kubelet.device_plugin_pb2_grpc import (
    RegistrationStub,
    add_DevicePluginServicer_to_server,
)

VERSION = "v1beta1"
KUBELET = "kubelet.sock"
_LOOK_SECONDS = 0.25
_RETRY_SECONDS = 0.5
_ANSWER_SECONDS = 5.0
_LINGER_SECONDS = 1.0  # for calls in progress when we stop

log = logging.getLogger(__name__)


class Registrations:
    """One plugin for each resource that the node's devices have been since the start.

    A resource that they are no longer stays registered, without devices: so the kubelet announces 0 of it.
    """

    def __init__(self, folder: Path, make: Callable[[str], DevicePlugin]) -> None:
        self._folder = folder
        self._make = make
        self._known: dict[str, Registration] = {}
        self._new: asyncio.Queue[Registration] = asyncio.Queue()

    def announce(self, resource: str) -> None:
        """Register a resource; safe to repeat."""
        if resource not in self._known:
            self._known[resource] = Registration(self._folder, self._make(resource))
            self._new.put_nowait(self._known[resource])

    @property
    def registered(self) -> bool:
        """Whether the kubelet knows all of them."""
        return bool(self._known) and all(each.registered for each in self._known.values())

    async def keep(self) -> None:
        """Stay registered until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task((await self._new.get()).keep())


class Registration:
    """One plugin at one kubelet; `folder` holds both sockets."""

    def __init__(self, folder: Path, plugin: DevicePlugin) -> None:
        self._kubelet = folder / KUBELET
        self._own = folder / endpoint(plugin.resource)
        self._plugin = plugin
        self.registered = False

    async def keep(self) -> None:
        """Serve and stay registered until cancelled."""
        while True:
            kubelet = await self._started()
            async with self._serving():
                if await self._register():
                    self.registered = True
                    await self._restarted(kubelet)
                    self.registered = False
                    log.info("the kubelet restarted: registering again")
                else:
                    await asyncio.sleep(_RETRY_SECONDS)

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """Listen at our own socket, replacing that of an earlier plugin."""
        server = grpc.aio.server()
        add_DevicePluginServicer_to_server(self._plugin, server)
        self._own.unlink(missing_ok=True)
        server.add_insecure_port(f"unix://{self._own}")
        await server.start()
        try:
            yield
        finally:
            await server.stop(_LINGER_SECONDS)
            self._own.unlink(missing_ok=True)

    async def _register(self) -> bool:
        """Whether the kubelet accepted us; while it is still starting it may not, and we retry."""
        async with grpc.aio.insecure_channel(f"unix://{self._kubelet}") as channel:
            request = api.RegisterRequest(
                version=VERSION,
                endpoint=self._own.name,
                resource_name=self._plugin.resource,
                options=OPTIONS,
            )
            try:
                await RegistrationStub(channel).Register(request, timeout=_ANSWER_SECONDS)
            except grpc.aio.AioRpcError as error:
                log.warning("the kubelet refused the registration: %s", error.details())
                return False
        log.info("registered %s with the kubelet", self._plugin.resource)
        return True

    async def _started(self) -> tuple[int, int]:
        """Wait until a kubelet listens; returns which one."""
        while True:
            if kubelet := self._identity():
                return kubelet
            await asyncio.sleep(_LOOK_SECONDS)

    async def _restarted(self, kubelet: tuple[int, int]) -> None:
        """Return when that kubelet's socket was recreated, or it removed ours."""
        while True:
            if self._identity() != kubelet or not self._own.exists():
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._kubelet.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_ctime_ns


def endpoint(resource: str) -> str:
    """The name of a resource's socket: `labkit-gpu.sock`, `labkit-mig-1g.5gb.sock`."""
    return f"labkit-{resource.rpartition('/')[2]}.sock"
