"""How a command gets into a running container: what to start for it, and with what.

Starts nothing. The command's environment travels by a descriptor: it is neither in a process list nor in the
environment of a program that still runs outside of the container.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labkit.node.pod.pods import RunningContainer

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
    container: RunningContainer, command: Sequence[str], more: Mapping[str, str] | None = None
) -> Iterator[Joining]:
    """Run `command` in the container, in its environment; what is in `more` holds where it says nothing.

    Raises `ProcessLookupError` where the container does not run.
    """
    if container.pid is None:
        raise ProcessLookupError(f"container {container.name} is not running")
    env = {**(more or {}), **container.env}
    if not container.isolated:
        yield Joining(list(command), env)
        return
    handle = os.memfd_create("environment")
    try:
        os.write(handle, json.dumps(env).encode())
        os.lseek(handle, 0, os.SEEK_SET)
        enter = [sys.executable, "-I", "-S", str(_ENTER), str(container.pid), str(handle)]
        yield Joining([*enter, *command], _CLEAN, (handle,))
    finally:
        os.close(handle)
