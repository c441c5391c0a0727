"""How one run of a container is ended: preStop, the stop signal, the grace period, SIGKILL.

The grace is a function, since it may become shorter while one waits (a second, more impatient delete).
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labkit.node.life import hooks
from labkit.node.pod.context import PodContext
from labkit.node.pod.pods import RunningContainer
from labkit.node.process.container import Run

Json = dict[str, Any]
Left = Callable[[], float]  # real seconds of grace that are left

_AFTER_HOOK = 2.0  # lab seconds that a container has left after a preStop that took all of its grace
_LOOK = 0.25  # real seconds between two looks at the grace that is left


@dataclass(frozen=True)
class Manner:
    """How to end it: the preStop hook if there is one, the signal (SIGTERM), the grace."""

    pre_stop: Json | None
    stop_signal: str
    left: Left


def countdown(pod: PodContext, lab_seconds: float) -> Left:
    """A grace period that begins now."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + pod.machine.real(lab_seconds)
    return lambda: max(0.0, deadline - clock())


async def end(run: Run, pod: PodContext, view: RunningContainer, how: Manner) -> None:
    """Return when no process of the run is left."""
    over = asyncio.ensure_future(run.wait())
    left = how.left
    if how.pre_stop:
        work = asyncio.ensure_future(hooks.run(how.pre_stop, pod, view))
        await _settled({work, over}, left)
        if work.done() and (said := work.result()):
            pod.tell("FailedPreStopHook", said, container=view.name, warning=True)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        left = _longer(left, countdown(pod, _AFTER_HOOK))
    run.signal(_number(how.stop_signal))
    await _settled({over}, left)
    run.kill()
    await over


def _number(name: str) -> signal.Signals:
    """STOPSIGNAL of an image: SIGQUIT, QUIT or 3."""
    if name.isdigit():
        return signal.Signals(int(name))
    found = signal.Signals.__members__.get(name if name.startswith("SIG") else f"SIG{name}")
    return found or signal.SIGTERM


def _longer(one: Left, other: Left) -> Left:
    return lambda: max(one(), other())


async def _settled(futures: set[asyncio.Future[Any]], left: Left) -> None:
    """Return when one of them is done or nothing is left."""
    while left() > 0 and not any(f.done() for f in futures):
        await asyncio.wait(futures, timeout=min(left(), _LOOK), return_when=asyncio.FIRST_COMPLETED)
