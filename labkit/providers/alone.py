"""One `up` at a time on a lab's folder: a second one waits for the first, and says so."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from labkit.errors import ProviderError
from labkit.providers.base import Report


@contextlib.contextmanager
def alone(folder: Path, report: Report) -> Iterator[None]:
    """Hold the folder's lock; the system drops it, however we end."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another `labkit up` works on this lab; waiting for it")
            began = time.monotonic()
            fcntl.flock(file, fcntl.LOCK_EX)
            report(f"waited {time.monotonic() - began:.0f} s")
        yield


def same(running: dict[str, object], wanted: dict[str, object], *, fix: str) -> None:
    """Refuse to call a lab up that runs with other settings than were asked for."""
    other = [f"{k}={v} (asked for: {wanted[k]})" for k, v in running.items() if v != wanted[k]]
    if other:
        raise ProviderError(
            f"Lab {running['name']!r} runs already, with other settings: {', '.join(other)}.",
            cause="Settings are chosen when a lab starts.",
            fix=fix,
        )
