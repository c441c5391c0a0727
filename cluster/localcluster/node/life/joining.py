"""How a command gets into a running container: what to start, and with which environment and descriptors.

Starts nothing. The command's environment is passed in a descriptor: it is neither in a process list nor in
the environment of a program outside the container.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster.node.pod.pods import RunningContainer
from localcluster.node.process import seccomp

_ENTER = Path(__file__).with_name("enter.py")
_CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


@dataclass(frozen=True)
class Joining:
    """The process to start: its arguments, its environment, the descriptors that it inherits."""

    argv: list[str]
    env: dict[str, str]
    pass_fds: tuple[int, ...] = ()


@contextmanager
def joining(
    container: RunningContainer,
    command: Sequence[str],
    more: Mapping[str, str] | None = None,
    *,
    terminal: int | None = None,
) -> Iterator[Joining]:
    """Run `command` in the container, in its environment; `more` adds variables that it lacks.

    With `terminal`, the descriptor of a socket, it gets one, and our end of it comes through the socket.

    Raises `ProcessLookupError` where the container does not run.
    """
    if container.pid is None:
        raise ProcessLookupError(f"container {container.name} is not running")
    env = {**(more or {}), **container.env}
    if not container.isolated:
        yield Joining(list(command), env)
        return
    handle, profile = os.memfd_create("environment"), seccomp.opened()
    try:
        os.write(handle, json.dumps(env).encode())
        os.lseek(handle, 0, os.SEEK_SET)
        through = "-" if terminal is None else str(terminal)
        enter = [
            sys.executable,
            "-I",
            "-S",
            str(_ENTER),
            str(container.pid),
            str(handle),
            str(profile),
            through,
        ]
        handed = (handle, profile) if terminal is None else (handle, profile, terminal)
        yield Joining([*enter, *command], _CLEAN, handed)
    finally:
        os.close(handle)
        os.close(profile)
