"""`python -I -S join.py PID COUNT WHAT… COMMAND…`: runs a command where volumes in memory are mounted.

A separate program, because a whole process joins a namespace. Each WHAT is `NUMBER:FOLDER//INNER`: the place
INNER below a volume's FOLDER is opened, no link followed, and handed to the command as that descriptor. It
imports nothing of localcluster.
"""

from __future__ import annotations

import ctypes
import os
import sys

_LIBC = ctypes.CDLL(None, use_errno=True)
_STEP = os.O_PATH | os.O_NOFOLLOW


def _join(pid: str) -> None:
    handles = [os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name in ("user", "mnt")]
    for handle in handles:
        if _LIBC.setns(handle, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        os.close(handle)


def _opened(folder: str, inner: str) -> int:
    here = os.open(folder, os.O_PATH)
    for part in filter(None, inner.split("/")):
        there = os.open(part, _STEP, dir_fd=here)
        os.close(here)
        here = there
    return here


def _hand_over(what: str) -> None:
    number, _, place = what.partition(":")
    folder, _, inner = place.partition("//")
    handle = _opened(folder, inner)
    os.dup2(handle, int(number))  # inheritable
    os.close(handle)


def main(words: list[str]) -> None:
    """Join, open, and become the command."""
    count = int(words[1])
    _join(words[0])
    for what in words[2 : 2 + count]:
        _hand_over(what)
    os.execv(words[2 + count], words[2 + count :])  # noqa: S606 - there is no shell


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.stderr.write(f"bwrap: the pod's volumes in memory can't be reached: {error}\n")
        sys.exit(1)
