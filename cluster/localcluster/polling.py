"""The only place that sleeps: wait for a named condition, never for time.

Refuses to warn and continue: a condition that stays false raises `WaitTimeout` with what was last seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from localcluster.errors import WaitTimeout

T = TypeVar("T")


def until(
    probe: Callable[[], T | None],
    what: str,
    *,
    seconds: float,
    every: float = 0.05,
    last_seen: Callable[[], str] = lambda: "",
) -> T:
    """Call `probe` every `every` seconds until it returns something true; that is returned.

    Raises `WaitTimeout` after `seconds` of real time, naming `what` was waited for and `last_seen()`.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() >= deadline:
            raise WaitTimeout(what, seconds=seconds, last_seen=last_seen())
        time.sleep(every)


def pause(seconds: float) -> None:
    """Space out the rounds of a loop that has its own end (a live display, a supervisor)."""
    time.sleep(seconds)
