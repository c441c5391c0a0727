"""`python -I -S enter.py PID FD COMMAND…`: runs a command inside a container, as the container would itself.

A program of its own because its environment must be empty: what a manifest sets (LD_PRELOAD) is for the
container's programs and comes by FD, never into a process that still stands outside. It imports nothing of
labkit. Gives up all capabilities, which joining a user namespace hands out, and can't be looked into by the
container until the command has taken its place.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from pathlib import Path

_NAMESPACES = ("user", "ipc", "uts", "pid", "mnt")
_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 4, 24, 38
_CAP_VERSION_3 = 0x20080522
_NOT_FOUND, _NOT_RUNNABLE, _KILLED = 127, 126, 128
_LIBC = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> bool:
    return bool(_LIBC.prctl(option, value, 0, 0, 0) == 0)


def _be_bounded_as(pid: int) -> None:
    """Take on the limits of the container's first process."""
    for which in (resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
        resource.setrlimit(which, resource.prlimit(pid, which))
    score = Path(f"/proc/{pid}/oom_score_adj").read_text()
    Path("/proc/self/oom_score_adj").write_text(score)


def _join(pid: int) -> None:
    """Enter the container's namespaces; its pid namespace holds for children only."""
    handles = [os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name in _NAMESPACES]
    folder = os.open(f"/proc/{pid}/cwd", os.O_PATH)
    for handle in handles:
        if _LIBC.setns(handle, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        os.close(handle)
    os.fchdir(folder)
    os.close(folder)


def _give_up_capabilities() -> None:
    for capability in range(64):
        if not _prctl(_PR_CAPBSET_DROP, capability):
            break  # the kernel knows no more of them
    header = (ctypes.c_uint32 * 2)(_CAP_VERSION_3, 0)
    if _LIBC.capset(header, (ctypes.c_uint32 * 6)()) or not _prctl(_PR_SET_NO_NEW_PRIVS, 1):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _become(command: list[str], environment: dict[str, str]) -> int:
    """Replace this process by the command; an exit status where that fails."""
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - there is no shell
    except OSError as error:
        sys.stderr.write(f'exec: "{command[0]}": {error.strerror}\n')
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_RUNNABLE


def main(words: list[str]) -> int:
    """Run the command; its exit status."""
    with os.fdopen(int(words[1]), "rb") as file:
        environment = json.load(file)
    try:
        _be_bounded_as(int(words[0]))
        _prctl(_PR_SET_DUMPABLE, 0)
        _join(int(words[0]))
        _give_up_capabilities()
    except OSError as error:
        sys.stderr.write(f"the container can't be entered: {error.strerror}\n")
        return _NOT_RUNNABLE
    child = os.fork()
    if child == 0:
        status = _NOT_RUNNABLE
        try:
            status = _become(words[2:], environment)
        finally:
            sys.stderr.flush()
            os._exit(status)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else _KILLED - code


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
