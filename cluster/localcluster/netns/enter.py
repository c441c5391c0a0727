"""`python -I -S enter.py PID COMMAND…`: runs a command in the user and network namespaces of a process.

A separate program, because only a process with a single thread can join a user namespace. It imports
nothing of localcluster, so that it starts fast.
"""

import ctypes
import os
import sys


def command(pid: int) -> tuple[str, ...]:
    """The words before a command that is to run in the namespaces of `pid`."""
    return sys.executable, "-I", "-S", __file__, str(pid)


def main(words: list[str]) -> None:
    """Join, and become the command."""
    library = ctypes.CDLL(None, use_errno=True)
    handles = [os.open(f"/proc/{words[0]}/ns/{name}", os.O_RDONLY) for name in ("user", "net")]
    for handle in handles:
        if library.setns(handle, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        os.close(handle)
    os.execvp(words[1], words[1:])  # noqa: S606 - there is no shell


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.stderr.write(f"{sys.argv[2]} can't be started in the lab's network: {error}\n")
        sys.exit(127)
