"""The server's state: loading, ready, draining; and the parts that exist in each.

Also what a real server's surroundings would measure: GPU utilisation, power and host CPU, reported about
twice a second to the device's folder. Refuses requests before it is ready.
"""

from __future__ import annotations

import asyncio
import logging
import os
from enum import Enum

from model_server.device import Device
from model_server.driver import Driver
from model_server.engine import Engine, Limits
from model_server.kv_cache import BlockPool
from model_server.profile import Profile
from model_server.protocol import Served
from model_server.settings import Settings
from model_server.startup import Startup, model_length
from model_server.stats import Stats

REPORT_SECONDS = 0.5
log = logging.getLogger("model_server")


class State(Enum):
    """Where the server is in its life."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


class Serving:
    """One model on one simulated GPU."""

    def __init__(self, settings: Settings, profile: Profile, device: Device) -> None:
        self.settings = settings
        self.profile = profile
        self.device = device
        self.state = State.LOADING
        self.startup = Startup(settings, profile, device)
        self.served = Served(settings.served_model_name, model_length(settings, profile), settings.seed)
        self.stats = Stats(max_model_len=self.served.max_model_len)
        self.engine: Engine | None = None
        self.driver: Driver | None = None
        self.in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def load(self) -> None:
        """Go through the start-up and become ready; raises `StartError`."""
        blocks = await self.startup.run()
        settings = self.settings
        self.engine = Engine(
            timing=self.profile.step,
            limits=Limits(settings.max_num_seqs, settings.max_num_batched_tokens),
            pool=BlockPool(blocks=blocks, block_tokens=settings.block_size),
            stats=self.stats,
        )
        self.driver = Driver(self.engine, clock=settings.clock, interval=settings.sse_interval)
        if self.state is State.LOADING:
            self.state = State.READY
            log.info("Application startup complete.")

    def lab_now(self) -> float:
        """Lab seconds on the engine's clock; 0 before it exists."""
        return self.driver.now() if self.driver else 0.0

    def refresh(self) -> None:
        """Bring the numbers up to the present."""
        if self.driver:
            self.driver.look()

    def enter(self) -> None:
        """A generation request came in."""
        self.in_flight += 1
        self._idle.clear()

    def leave(self) -> None:
        """It has been answered, or its client has gone."""
        self.in_flight -= 1
        if self.in_flight == 0:
            self._idle.set()

    async def drain(self) -> None:
        """Turn unhealthy and wait until every request has been answered."""
        self.state = State.DRAINING
        log.info("Shutting down: %d requests to finish first", self.in_flight)
        await self._idle.wait()

    async def report(self) -> None:
        """Publish the device's numbers until cancelled; `DeviceLost` where the device fails."""
        loop = asyncio.get_running_loop()
        before, busy_before = loop.time(), 0.0
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            self.device.check()
            now, lab = loop.time(), self.lab_now()
            self.refresh()
            busy = self.engine.busy_seconds(lab) if self.engine else 0.0
            self._publish(now - before, (busy - busy_before) / self.settings.clock)
            before, busy_before = now, busy

    def _publish(self, real: float, busy: float) -> None:
        usage, cpu = self.device.usage, self.profile.host_cpu
        share = min(1.0, max(0.0, busy / real))
        running = len(self.engine.running) if self.engine else 0
        cores = cpu.cores(running) if self.engine else cpu.startup_cores
        usage.gpu_utilization = round(share, 4)
        usage.sm_seconds_total += share * real
        usage.host_cpu_seconds_total += cores * real
        usage.power_watts = round(self.profile.watts(share), 1)
        try:
            self.device.publish()
        except OSError as error:
            log.warning("Could not report to the device's folder: %s", error)

    @staticmethod
    def pod() -> str:
        """Who answers: the pod's name, or the host's."""
        return os.environ.get("POD_NAME") or os.environ.get("HOSTNAME") or os.uname().nodename
