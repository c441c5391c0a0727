"""`python -m model_server`: read the settings, open the GPU, serve.

Signal handlers come first: as PID 1 of a container a process without them never gets SIGTERM.
"""

# ruff: noqa: E402, PLC0415, TRY400
# (imports that take long come after the handlers; a traceback would hide a start error)
from __future__ import annotations

import signal
import sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

import asyncio
import logging
import os

from model_server import __version__, device, profile, settings
from model_server.profile import StartError

log = logging.getLogger("model_server")


def main() -> int:
    """Run; the exit status is 1 where the server can't start, as vLLM's is."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stdout,
        format="%(levelname)s %(asctime)s [%(module)s.py:%(lineno)d] %(message)s",
        datefmt="%m-%d %H:%M:%S",
    )
    try:
        return asyncio.run(_serve(settings.parse(sys.argv[1:], os.environ)))
    except StartError as error:
        for line in str(error).splitlines():
            log.error("%s", line)
        return 1


async def _serve(chosen: settings.Settings) -> int:
    gpu, timing = _open(chosen)
    log.info("model server %s: GPU (%s), timing and text are SIMULATED", __version__, gpu.product)
    log.info("timing profile %s (%s), clock %g", timing.name, timing.source, chosen.clock)
    if chosen.simulated_gpu:
        log.warning("--simulated-gpu: this GPU exists in this process only; no node handed it out")
    from model_server.lifecycle import run
    from model_server.serving import Serving

    return await run(Serving(chosen, timing, gpu))


def _open(chosen: settings.Settings) -> tuple[device.Device, profile.Profile]:
    """Find the GPU and its timing; a GPU made up here has the memory that the profile states."""
    if chosen.simulated_gpu:
        timing = profile.find(product=chosen.simulated_gpu, model=chosen.model, name=chosen.profile)
        memory = int(timing.gpu["memory_mib"])
        return device.visible(os.environ, product=chosen.simulated_gpu, memory_mib=memory), timing
    gpu = device.visible(os.environ)
    return gpu, profile.find(product=gpu.product, model=chosen.model, name=chosen.profile)


if __name__ == "__main__":
    sys.exit(main())
