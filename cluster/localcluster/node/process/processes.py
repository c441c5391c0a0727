"""What the host's /proc says about a container's processes; and the wait for one to end.

Reads only processes below a given pid. On a system without pidfds the wait polls.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil

_PAGE = os.sysconf("SC_PAGE_SIZE")
_LOOKS = 100  # at all processes; they take longer than it takes to die


def tree(pid: int, *, most: int = 2**22) -> list[int]:
    """The pid and all its descendants, but not many more than `most`; empty if it is gone."""
    found: list[int] = []
    todo = [pid]
    while todo and len(found) < most:
        current = todo.pop()
        try:
            tasks = [f"/proc/{current}/task/{t}/children" for t in os.listdir(f"/proc/{current}/task")]  # noqa: PTH208 - the hot path
            found.append(current)
            for task in tasks:
                todo.extend(int(p) for p in Path(task).read_bytes().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def resident(pid: int) -> int:
    """Resident bytes of the process tree under `pid`, pages shared by several of them counted once each."""
    return sum(_statm(each, 1) for each in tree(pid))


def _statm(pid: int, field: int) -> int:
    """Bytes of one field; 0 for a process that is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[field]) * _PAGE
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0


def resident_with(pid: int, in_memory: int) -> int:
    """Resident bytes of the tree, and those of volumes in memory that none of its processes has mapped."""
    if not in_memory:
        return resident(pid)
    shared = sum(_statm(each, 2) for each in tree(pid))  # files and shared memory together
    return resident(pid) + max(0, in_memory - shared)


def listening(pid: int) -> set[int]:
    """TCP ports on which processes of the tree listen."""
    inodes = {inode for each in tree(pid) for inode in _sockets(each)}
    ports = set()
    for table in ("tcp", "tcp6"):
        try:
            rows = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in (row.split() for row in rows):
            if fields[3] == "0A" and fields[9] in inodes:  # 0A is LISTEN
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def _sockets(pid: int) -> set[str]:
    found = set()
    try:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(fd.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        pass  # it ended meanwhile
    return found


def started(pid: int) -> float | None:
    """When the process started (seconds since the epoch); None if it is gone or a zombie."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process, if it still exists."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


async def ended(pid: int) -> None:
    """Return as soon as the process is gone or a zombie; any process, not only our own child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):  # no pidfds here, or not one left
        while started(pid) is not None:  # noqa: ASYNC110 - there is nothing to be told by
            await asyncio.sleep(0.1)
        return
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(handle, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def end_marked(entry: str) -> None:
    """SIGKILL every process of this user with `NAME=value` in its environment, until there is none."""
    for _ in range(_LOOKS):
        found = [pid for pid in psutil.pids() if entry.encode() in _environment(pid)]
        if not found:
            return
        for pid in found:
            send(pid, signal.SIGKILL)


def _environment(pid: int) -> list[bytes]:
    """Empty for a process that has ended, or is another user's."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
