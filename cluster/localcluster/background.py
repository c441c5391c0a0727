"""Work beside the caller, in a thread that does not outlive the program.

Refuses to end a thread by force: the work is given an event, and returns soon after that is set.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from typing import Self


class Background:
    """Calls `work(over)` in a thread; also a context manager that starts and stops it."""

    def __init__(self, work: Callable[[Event], None], *, name: str) -> None:
        self.over = Event()
        self._thread = Thread(target=work, args=(self.over,), name=f"labkit-{name}", daemon=True)

    def start(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Set `over`, and wait until the work has returned; safe to repeat."""
        self.over.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def every(seconds: float, look: Callable[[], None]) -> Callable[[Event], None]:
    """Work that calls `look` every so many real seconds; the first time after one such pause."""

    def work(over: Event) -> None:
        while not over.wait(seconds):
            look()

    return work
