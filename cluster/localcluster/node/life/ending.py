"""How one run of a container is ended: preStop, the stop signal, the grace period, SIGKILL.

The grace period is a function, because it can become shorter while waiting (by a second delete).
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from localcluster.api import Json
from localcluster.node.life import hooks
from localcluster.node.pod.context import PodContext
from localcluster.node.pod.pods import RunningContainer
from localcluster.node.process.container import Run

T = TypeVar("T")
Left = Callable[[], float]  # real seconds of grace that are left

log = logging.getLogger(__name__)

_LEAST = 2.0  # lab seconds from the signal to SIGKILL, even if hook and turn used up the grace period
_LOOK = 0.25  # real seconds between two checks of the remaining grace period


@dataclass(frozen=True)
class Manner:
    """How to end it: the preStop hook if there is one, the signal (SIGTERM), the grace, others' turn.

    `turn` has the containers that must end before the signal is sent, as long as the grace period lasts.
    """

    pre_stop: Json | None
    stop_signal: str
    left: Left
    turn: Sequence[asyncio.Event] = ()


def countdown(pod: PodContext, lab_seconds: float) -> Left:
    """A grace period that starts now."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + pod.machine.real(lab_seconds)
    return lambda: max(0.0, deadline - clock())


async def end(run: Run, pod: PodContext, view: RunningContainer, how: Manner) -> None:
    """Return when no process of the run is left."""
    over = asyncio.ensure_future(run.wait())
    if how.pre_stop:
        said = await _before(hooks.run(how.pre_stop, pod, view), over, how.left)
        if said:
            log.warning("%s: %s", pod.full_name, said)
            pod.tell("FailedPreStopHook", "PreStopHook failed", container=view.name, warning=True)
    for earlier in how.turn:
        await _before(earlier.wait(), over, how.left)
    run.signal(_number(how.stop_signal))
    await _settled({over}, _longer(how.left, countdown(pod, _LEAST)))
    run.kill()
    await over


async def _before(step: Awaitable[T], over: asyncio.Future[Any], left: Left) -> T | None:
    """Wait for something before the signal; None if the container or the grace period ended first."""
    work = asyncio.ensure_future(step)
    try:
        await _settled({work, over}, left)
        return work.result() if work.done() else None
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def _number(name: str) -> signal.Signals:
    """STOPSIGNAL of an image: SIGQUIT, QUIT or 3."""
    if name.isdigit():
        return signal.Signals(int(name))
    found = signal.Signals.__members__.get(name if name.startswith("SIG") else f"SIG{name}")
    return found or signal.SIGTERM


def _longer(one: Left, other: Left) -> Left:
    return lambda: max(one(), other())


async def first(step: Awaitable[T], over: asyncio.Future[Any]) -> T | None:
    """The result of `step`; None, and it is cancelled, if the container ended first."""
    return await _before(step, over, lambda: _LOOK)


async def _settled(futures: set[asyncio.Future[Any]], left: Left) -> None:
    """Return when one of them is done or nothing is left."""
    while left() > 0 and not any(f.done() for f in futures):
        await asyncio.wait(futures, timeout=min(left(), _LOOK), return_when=asyncio.FIRST_COMPLETED)
