"""Room on the disk: asked before the work, and told plainly where it runs out in the middle.

Refuses to start what can't be finished.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.errors import ToolchainError

MB = 1_000_000

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FIX = "Free some space, or set LABKIT_CACHE to a folder on a larger disk."


def require(folder: Path, needed_mb: float, what: str) -> None:
    """Raise where the disk of `folder` (which may not exist yet) has less than `needed_mb` MB free."""
    place = folder
    while not place.exists():
        place = place.parent
    free_mb = shutil.disk_usage(place).free / MB
    if free_mb < needed_mb:
        raise ToolchainError(
            f"{what} needs {needed_mb:,.0f} MB of disk under {folder}; {free_mb:,.0f} MB are free.",
            cause="The disk is nearly full.",
            fix=_FIX,
        )


@contextmanager
def guarded(folder: Path, what: str) -> Iterator[None]:
    """Turn what the system says about a full or read-only disk into an error that a person can act on."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            cause = "The disk is full, or a limit on the size of files or on your quota was reached."
        elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            cause = f"You may not write to {folder}."
        elif error.errno in {errno.ENOTDIR, errno.EEXIST}:
            cause = f"{folder}, or what it lies in, is no folder."
        else:
            raise
        raise ToolchainError(f"{what} stopped: {error}.", cause=cause, fix=_FIX) from error


def sync(path: Path) -> None:
    """Have the system write a file or a folder to the disk before we go on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
