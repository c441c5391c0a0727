"""One `up` at a time on a lab's folder: a second one waits for the first, and reports that."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from localcluster.errors import ProviderError
from localcluster.provider import Report


@contextlib.contextmanager
def alone(folder: Path, report: Report) -> Iterator[None]:
    """Hold the folder's lock; the system releases it however we end."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another `localcluster up` is working on this lab; waiting for it")
            began = time.monotonic()
            fcntl.flock(file, fcntl.LOCK_EX)
            report(f"waited {time.monotonic() - began:.0f} s")
        yield


def same(running: dict[str, object], wanted: dict[str, object], *, fix: str) -> None:
    """Refuse if the lab is running with other settings than requested."""
    other = [f"{k}={v} (asked for: {wanted[k]})" for k, v in running.items() if v != wanted[k]]
    if other:
        raise ProviderError(
            f"Lab {running['name']!r} is already running, with other settings: {', '.join(other)}.",
            cause="Settings are fixed when a lab starts.",
            fix=fix,
        )
