"""The plugin's own Node: obeys the labels that divide its GPUs, and keeps GPU feature discovery's right."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from localcluster.api import Json
from localcluster.api.asynchronous import Api, Change, Listed
from localcluster.errors import ClusterError
from localcluster.gpus import feature_discovery
from localcluster.gpus.inventory import Inventory
from localcluster.gpus.plugin.settings import Settings
from localcluster.gpus.sharing import Sharing, asked

_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 2.0

log = logging.getLogger(__name__)


class Division:
    """How one node's GPUs are divided; `announce` is told of each resource that they become."""

    def __init__(
        self,
        api: Api,
        chosen: Settings,
        inventory: Inventory,
        *,
        held: Callable[[], Awaitable[Collection[str]]],
        announce: Callable[[str], None],
    ) -> None:
        self._api = api
        self._chosen = chosen
        self._inventory = inventory
        self._held = held
        self._announce = announce
        self._seen: dict[str, str] | None = None  # the Node's labels; None before they are known

    async def keep(self) -> None:
        """Divide, announce and label until cancelled; the API server may be away."""
        self._announce(self._now.resource)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._apply())

    @property
    def _now(self) -> Sharing:
        return self._inventory.sharing(self._chosen.node)

    async def _follow(self) -> None:
        async for event in self._api.watch(
            "/api/v1/nodes", fieldSelector=f"metadata.name={self._chosen.node}"
        ):
            for node in _nodes(event):
                self._seen = dict(node["metadata"].get("labels") or {})

    async def _apply(self) -> None:
        while True:
            if self._seen is not None:
                await self._divide(self._seen)
                await self._label(self._seen)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _divide(self, seen: dict[str, str]) -> None:
        """As the labels ask, once no container holds one of the devices."""
        node, wanted = self._chosen.node, asked(seen, product=self._chosen.product)
        if wanted == self._now or set(await self._held()) & {d.uuid for d in self._inventory.devices(node)}:
            return
        self._inventory.divide(node, wanted)
        open_to_containers(self._inventory)
        self._announce(wanted.resource)
        log.info("the GPUs are announced as %s, %d for each", wanted.resource, wanted.per_gpu)

    async def _label(self, seen: dict[str, str]) -> None:
        chosen = self._chosen
        wanted = feature_discovery.labels(
            product=chosen.product, memory_mib=chosen.memory_mib, count=chosen.count, sharing=self._now
        )
        labels = feature_discovery.corrections(seen, wanted, self._now, product=chosen.product)
        if not labels:
            return
        try:
            await self._api.patch(f"/api/v1/nodes/{chosen.node}", {"metadata": {"labels": labels}})
        except ClusterError as error:
            log.warning("could not label node %s: %s", chosen.node, error)
            await asyncio.sleep(_RETRY_SECONDS)


def open_to_containers(inventory: Inventory) -> None:
    """Let containers of any user write what they use of a device."""
    for device in inventory.devices():
        inventory.path(device.uuid).chmod(0o755)
        (inventory.path(device.uuid) / "usage").chmod(0o1777)


def _nodes(event: Listed | Change) -> tuple[Json, ...]:
    if isinstance(event, Listed):
        return event.items
    return () if event.type == "DELETED" else (event.object,)
