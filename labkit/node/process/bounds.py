"""How much of the machine one container may take, where cgroups are not ours to use.

The agent looks twice a second: who has too many processes is killed, and of a log only the end is kept on
disk. Ordinary users have a harder wall as well: the kernel refuses the process that is one too many. Refuses
to bound what can't be seen from outside: memory that no process has mapped, and files in volumes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from pathlib import Path

from labkit.node.process import processes

MOST_PROCESSES = 1024
"""Of one container, threads included: what clusters commonly set as `podPidsLimit`."""
LOG_BYTES = 10 * 2**20
"""Kept of each log, as by the kubelet (`containerLogMaxSize`)."""
_OOM_SCORE = 1000  # where the machine itself runs out of memory, containers go first, not the control plane
_OWN_COUNT = (5, 14)  # the first Linux that counts the processes of each user namespace apart
_ALIGNED = 2**16  # a hole begins and ends with whole blocks of the disk
_PUNCH_HOLE, _KEEP_SIZE = 2, 1  # falloc.h


def limit(pid: int) -> None:
    """Set what a container's first process hands on to all others."""
    with contextlib.suppress(OSError):  # it has ended already
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(_OOM_SCORE))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
        major, minor = os.uname().release.split(".")[:2]
        if (int(major), int(minor.split("-")[0])) >= _OWN_COUNT:
            resource.prlimit(pid, resource.RLIMIT_NPROC, (MOST_PROCESSES, MOST_PROCESSES))


def too_many(pid: int) -> bool:
    """Whether a container has more processes and threads than it may have."""
    count = 0
    for each in processes.tree(pid, most=MOST_PROCESSES + 1):
        with contextlib.suppress(OSError):
            count += len(os.listdir(f"/proc/{each}/task"))  # noqa: PTH208 - the hot path
    return count > MOST_PROCESSES


def shorten(log: Path) -> None:
    """Give the disk back what is older than the last `LOG_BYTES`; offsets stay what they were.

    The container holds the file open and goes on at its end, so it can't be renamed or begun anew without
    losing lines: its beginning becomes a hole.
    """
    try:
        found = log.stat()
    except FileNotFoundError:
        return
    if found.st_blocks * 512 <= 2 * LOG_BYTES:
        return
    end = (found.st_size - LOG_BYTES) // _ALIGNED * _ALIGNED
    handle = os.open(log, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        punch = ctypes.CDLL(None, use_errno=True).fallocate
        punch(handle, _PUNCH_HOLE | _KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(end))
    finally:
        os.close(handle)


def kept_from(log: Path) -> int:
    """Where the part of a log begins that is still there: after the hole, at the next line."""
    with log.open("rb") as file:
        try:
            start = os.lseek(file.fileno(), 0, os.SEEK_DATA)
        except OSError:  # there is nothing but the hole
            return 0
        if not start:
            return 0
        file.seek(start)
        return start + len(file.readline(_ALIGNED))
