"""Runs the server from its first breath to its last: listen, load, serve, drain, exit.

It listens before the model is loaded, so a pod without a readiness probe gets traffic that it must refuse
(503). On SIGTERM: unhealthy at once, no new connections, running requests finish, exit status 0. Where the
GPU fails it breaks off every request and ends with status 1.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Any

from aiohttp import web

from model_server.api import Api
from model_server.profile import StartError
from model_server.serving import Serving

LINGER_SECONDS = 0.5  # for requests that nobody will finish; a drained server has none

log = logging.getLogger("model_server")


Task = asyncio.Task[Any]


async def run(serving: Serving) -> int:
    """Serve until told to stop; return the exit status."""
    stop = _stop_on_signals()
    runner = web.AppRunner(
        Api(serving).application(),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=LINGER_SECONDS,
    )
    await runner.setup()
    site = await _listen(runner, serving)
    report = asyncio.create_task(serving.report())
    load = asyncio.create_task(serving.load())
    stopped = asyncio.create_task(stop.wait())
    try:
        await _until(stopped, unless_broken=(load, report))
        await site.stop()
        await serving.drain()
    finally:
        for task in (report, load, stopped):
            task.cancel()
        await runner.cleanup()
        serving.device.close()
    log.info("Application shutdown complete.")
    return 0


async def _until(stopped: Task, *, unless_broken: tuple[Task, ...]) -> None:
    """Wait for the end; raises what breaks one of the others, which may be done before."""
    pending = {stopped, *unless_broken}
    while not stopped.done():
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


async def _listen(runner: web.AppRunner, serving: Serving) -> web.TCPSite:
    settings = serving.settings
    site = web.TCPSite(runner, settings.host, settings.port, backlog=1024)
    try:
        await site.start()
    except OSError as error:
        raise StartError(
            f"OSError: could not listen on {settings.host}:{settings.port}: {error.strerror}.\n"
            "Likely cause: another process has that port.\n"
            "Fix: choose a free one with --port or PORT."
        ) from error
    log.info("Starting API server on http://%s:%d", settings.host, settings.port)
    return site


def _stop_on_signals() -> asyncio.Event:
    """SIGTERM and SIGINT ask to drain; a second one ends the process at once."""
    stop = asyncio.Event()

    def asked(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked, number)
    return stop
