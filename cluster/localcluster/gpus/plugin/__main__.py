"""`python -m localcluster.gpus.plugin`: one node's simulated GPUs, until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from localcluster.api import identity
from localcluster.api.asynchronous import Api
from localcluster.errors import LabError
from localcluster.gpus.device import devices_of
from localcluster.gpus.health import Health, Ward
from localcluster.gpus.inventory import Inventory
from localcluster.gpus.plugin import settings
from localcluster.gpus.plugin.devices import DevicePlugin
from localcluster.gpus.plugin.division import Division, open_to_containers
from localcluster.gpus.plugin.pages import Pages
from localcluster.gpus.plugin.pod_resources import PodResources
from localcluster.gpus.plugin.registration import Registrations
from localcluster.gpus.plugin.settings import Settings

log = logging.getLogger("localcluster.gpus.plugin")


async def run(chosen: Settings) -> None:
    """Serve the kubelet and Prometheus until a signal; raises what breaks one of the parts."""
    inventory, node = inventory_of(chosen), chosen.node
    pods = PodResources(chosen.pod_resources)
    environment = {"LABKIT_CLOCK": f"{chosen.clock:g}"}
    registrations = Registrations(
        chosen.plugins,
        lambda resource: DevicePlugin(resource, inventory, node, held=pods.holders, environment=environment),
    )
    pages = Pages(inventory, node, pods, cpu_scale=chosen.cpu_scale)
    application = pages.application(lambda: registrations.registered)
    async with listening(application, chosen.port), connected(chosen) as api:
        health = Health(api, Ward(node, inventory, pods.holders), clock=chosen.clock)
        division = Division(api, chosen, inventory, held=pods.holders, announce=registrations.announce)
        await first_of(stopped(), registrations.keep(), health.run(), division.keep())


async def stopped() -> None:
    """Return on SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


async def first_of(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends, then cancel the others; raises its exception."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def listening(application: web.Application, port: int) -> AsyncIterator[None]:
    """Serve the pages."""
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connected(chosen: Settings) -> AsyncIterator[Api]:
    """The API server, as our own ServiceAccount."""
    api = Api(chosen.kubeconfig or identity.of_pod())
    try:
        yield api
    finally:
        await api.close()


def inventory_of(chosen: Settings) -> Inventory:
    """The node's devices, divided as they were before a restart."""
    inventory = Inventory(chosen.gpus)
    inventory.add(
        devices_of(
            lab=chosen.lab,
            node=chosen.node,
            count=chosen.count,
            product=chosen.product,
            memory_mib=chosen.memory_mib,
        )
    )
    inventory.recall(chosen.node)
    open_to_containers(inventory)
    return inventory


def main() -> int:
    """Run until a signal; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(run(settings.parse(sys.argv[1:], os.environ)))
    except LabError as error:
        log.error("%s", error)  # noqa: TRY400 - the sentence says it all
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
