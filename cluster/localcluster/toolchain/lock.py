"""One writer at a time: a file lock that the system releases when its holder dies, even by kill -9.

Waiting processes report who holds it, since when, and how far it is. Refuses to break a lock: that is never
needed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster import polling, stored
from localcluster.errors import ToolchainError, WaitTimeout
from localcluster.toolchain.progress import Progress

PATIENCE = 2 * 3600.0
"""Seconds that a second process waits for the first: longer than any build takes on a slow machine."""


@dataclass(frozen=True)
class Holder:
    """Who holds the lock: a process, since when (seconds since the epoch), and what it is doing."""

    pid: int
    since: float
    doing: str

    def __str__(self) -> str:
        minutes = (time.time() - self.since) / 60
        return f"process {self.pid}, for {minutes:.0f} min: {self.doing or 'starting'}"


@contextmanager
def hold(path: Path, progress: Progress, *, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock on `path`; waiting processes show what is reported to `progress` in the meantime."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _try(handle, path):
            _await(handle, path, progress, patience)
        with _told(handle, progress):
            yield
    finally:
        os.close(handle)


def holder(path: Path) -> Holder | None:
    """What the holder wrote last; None if that can't be read (yet)."""
    with contextlib.suppress(OSError):
        return stored.find(path, Holder)
    return None


def _try(handle: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
        raise ToolchainError(
            f"{path} can't be locked: {error.strerror}.",
            cause="The cache is on a network file system without locks.",
            fix="Set LABKIT_CACHE to a folder on a local disk.",
        ) from error
    return True


def _await(handle: int, path: Path, progress: Progress, patience: float) -> None:
    def taken() -> bool:
        task.detail = ""
        task.advance(0, str(holder(path) or "another process"))
        return _try(handle, path)

    who = holder(path) or "just started"
    progress.note(f"Another process is filling the cache ({who}); waiting for it.")
    with progress.task("Waiting for the cache") as task:
        try:
            polling.until(
                taken, f"the lock {path}", seconds=patience, every=0.2, last_seen=lambda: task.detail
            )
        except WaitTimeout as error:
            error.fix = "See what that process does; if it hangs, end it and run the command again."
            raise


@contextmanager
def _told(handle: int, progress: Progress) -> Iterator[None]:
    tell = _teller(handle)
    tell("")
    progress.watchers.append(tell)
    try:
        yield
    finally:
        progress.watchers.remove(tell)
        with contextlib.suppress(OSError):  # a full disk must not hide why the work ended
            os.ftruncate(handle, 0)


def _teller(handle: int) -> Callable[[str], None]:
    since, last = time.time(), 0.0

    def tell(status: str) -> None:
        nonlocal last
        if time.monotonic() - last < 0.5:
            return
        last = time.monotonic()
        data = json.dumps(stored.plain(Holder(os.getpid(), since, status))).encode()
        with contextlib.suppress(OSError):  # only for others to read
            os.ftruncate(handle, 0)
            os.pwrite(handle, data, 0)

    return tell
