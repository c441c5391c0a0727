"""The three system calls for namespaces: `setns`, `unshare`, and joining those of a process.

Imports only the standard library, so that programs that must start fast can use it.
Sources: setns(2), unshare(2), user_namespaces(7), namespaces(7) for the limits.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

NEW_IPC = 0x08000000
NEW_NET = 0x40000000
NEW_USER = 0x10000000
_LIMITS = {
    kind: f"user.max_{name}_namespaces"
    for kind, name in ((NEW_IPC, "ipc"), (NEW_NET, "net"), (NEW_USER, "user"))
}
_LIBC = ctypes.CDLL(None, use_errno=True)


def setns(handle: int, kind: int = 0) -> None:
    """Move this thread into the namespace of an open descriptor; raises `OSError`."""
    _checked(_LIBC.setns(handle, kind))


def unshare(kinds: int) -> None:
    """Give this thread (for a user namespace: this process) new namespaces; raises `OSError`."""
    try:
        _checked(_LIBC.unshare(kinds))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        limits = ", ".join(_limit(name) for kind, name in _LIMITS.items() if kinds & kind)
        raise OSError(errno.ENOSPC, f"the kernel allows no more namespaces here ({limits})") from error


def new_user() -> None:
    """A user namespace in which this process is root, and no more than its own user outside."""
    user, group = os.geteuid(), os.getegid()
    unshare(NEW_USER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


@contextlib.contextmanager
def namespaces_of(pid: int) -> Iterator[tuple[int, int]]:
    """Descriptors of a process' user and network namespaces; raises `OSError` if it has ended."""
    with contextlib.ExitStack() as stack:
        found = []
        for kind in ("user", "net"):
            found.append(os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC))
            stack.callback(os.close, found[-1])
        yield found[0], found[1]


def join(user: int, net: int) -> None:
    """Become root of a user namespace, in a network namespace that it owns; needs a single thread."""
    setns(user, NEW_USER)
    setns(net, NEW_NET)


def _limit(name: str) -> str:
    with contextlib.suppress(OSError):
        return f"{name} is {Path('/proc/sys', *name.split('.')).read_text().strip()}"
    return name


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
