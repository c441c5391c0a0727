"""Disk space: checked before the work, with a clear error if it runs out later.

Refuses to start what can't be finished.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcluster.errors import ToolchainError

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
    """Turn the system's error about a full or read-only disk into one with cause and fix."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            cause = "The disk is full, or a file size limit or your quota was reached."
        elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            cause = f"You have no permission to write to {folder}."
        elif error.errno in {errno.ENOTDIR, errno.EEXIST}:
            cause = f"{folder}, or one of its parents, is not a folder."
        else:
            raise
        raise ToolchainError(f"{what} stopped: {error}.", cause=cause, fix=_FIX) from error


def sync(path: Path) -> None:
    """Sync a file or a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
