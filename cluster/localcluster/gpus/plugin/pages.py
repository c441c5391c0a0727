"""The plugin's HTTP port: `/metrics` for Prometheus, `/readyz` for the kubelet's probe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from aiohttp import web

from localcluster.gpus import exposition
from localcluster.gpus.dcgm import GpuMetrics
from localcluster.gpus.exposition import Family
from localcluster.gpus.holder import Holder
from localcluster.gpus.inventory import Inventory
from localcluster.gpus.plugin.pod_resources import PodResources
from localcluster.gpus.usage import host_cpu_seconds

CPU = "labkit_simulated_cpu_usage_seconds_total"


class Pages:
    """What one node's plugin shows of its devices."""

    def __init__(self, inventory: Inventory, node: str, pods: PodResources, *, cpu_scale: float) -> None:
        self._inventory = inventory
        self._node = node
        self._pods = pods
        self._cpu_scale = cpu_scale
        self._gpus = GpuMetrics(inventory)

    def application(self, ready: Callable[[], bool]) -> web.Application:
        """The application; `ready` says whether the kubelet knows us."""

        async def readyz(_: web.Request) -> web.Response:
            return web.Response(text="ok") if ready() else web.Response(status=503, text="not registered")

        app = web.Application()
        app.add_routes([web.get("/metrics", self._metrics), web.get("/readyz", readyz)])
        return app

    async def _metrics(self, _: web.Request) -> web.Response:
        holders = await self._pods.holders()
        families = [*self._gpus.families(self._node, holders), self._cpu(holders)]
        headers = {"Content-Type": exposition.CONTENT_TYPE}
        return web.Response(body=exposition.render(families).encode(), headers=headers)

    def _cpu(self, holders: Mapping[str, Holder]) -> Family:
        """The host CPU that a real server would use; ten of them would not fit on a laptop.

        The adapter counts it instead of what a container really uses: the simulated server's own 16m under
        load (1m when idle) is negligible next to 4 cores, but a sixth of the 100m that a laptop has to offer.
        """
        text = (
            "Host CPU that a real server would use beside a real GPU (in s), times the scale of the "
            f"cluster's CPU requests ({self._cpu_scale:g}). (simulated)"
        )
        family = Family(CPU, "counter", text)
        for holder in sorted(set(holders.values()), key=lambda h: (h.namespace, h.pod, h.container)):
            files = self._files(uuid for uuid, each in holders.items() if each == holder)
            family.add(holder.labels, self._cpu_scale * host_cpu_seconds(files))
        return family

    def _files(self, devices: Iterable[str]) -> list[Path]:
        return [file for uuid in devices for file in (self._inventory.path(uuid) / "usage").glob("*.json")]
