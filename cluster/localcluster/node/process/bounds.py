"""How much of the machine one container can use, without cgroups.

The agent looks twice a second: containers with too many processes are killed, and only the end of a log is
kept on disk. For ordinary users there is also a hard limit: the kernel refuses the process that exceeds it.
Does not limit what can't be seen from outside: memory that no process has mapped and no volume holds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from pathlib import Path

from localcluster.node.process import processes

MOST_PROCESSES = 1024
"""Of one container, threads included: what clusters commonly set as `podPidsLimit`."""
LOG_BYTES = 10 * 2**20
"""Kept of each log, as by the kubelet (`containerLogMaxSize`)."""
_OOM_SCORE = 1000  # if the machine itself runs out of memory, containers are killed before the control plane
_OWN_COUNT = (5, 14)  # the first Linux that counts the processes of each user namespace apart
_ALIGNED = 2**16  # a hole begins and ends with whole blocks of the disk
_PUNCH_HOLE, _KEEP_SIZE = 2, 1  # falloc.h


def limit(pid: int, *, memory: int = 0) -> None:
    """Set the limits that a container's processes inherit from its first.

    `memory`: bytes of data of each process, beyond which the kernel gives it no more; 0 for no limit.
    """
    with contextlib.suppress(OSError):  # it has ended already
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(_OOM_SCORE))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
        if memory:
            resource.prlimit(pid, resource.RLIMIT_DATA, (memory, memory))
        major, minor = os.uname().release.split(".")[:2]
        if (int(major), int(minor.split("-")[0])) >= _OWN_COUNT:
            resource.prlimit(pid, resource.RLIMIT_NPROC, (MOST_PROCESSES, MOST_PROCESSES))


def too_many(pid: int) -> bool:
    """Whether a container has too many processes and threads."""
    count = 0
    for each in processes.tree(pid, most=MOST_PROCESSES + 1):
        with contextlib.suppress(OSError):
            count += len(os.listdir(f"/proc/{each}/task"))  # noqa: PTH208 - the hot path
    return count > MOST_PROCESSES


def shorten(log: Path) -> None:
    """Free the disk space of everything before the last `LOG_BYTES`; offsets stay the same.

    The container holds the file open and goes on at its end, so it can't be renamed or restarted without
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
    """Where the remaining part of a log begins: after the hole, at the next line."""
    with log.open("rb") as file:
        try:
            start = os.lseek(file.fileno(), 0, os.SEEK_DATA)
        except OSError:  # there is nothing but the hole
            return 0
        if not start:
            return 0
        file.seek(start)
        return start + len(file.readline(_ALIGNED))
