"""Paths of a pod's volumes in memory, which only the process that holds them sees, and how to reach them.

`holder.py` starts that process; here it is only a pid.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

_JOIN = Path(__file__).with_name("join.py")


def inside(pid: int, path: Path) -> Path:
    """A path as the holder sees it, for processes outside."""
    return Path(f"/proc/{pid}/root{path}")


def outside(pid: int, path: Path) -> Path | None:
    """The path that was passed to `inside`; None if the path is the agent's own."""
    root = f"/proc/{pid}/root"
    return Path(str(path).removeprefix(root)) if pid and str(path).startswith(f"{root}/") else None


def used(path: Path) -> int:
    """Bytes used in a tmpfs."""
    found = os.statvfs(path)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def joining(pid: int, places: Sequence[str], command: Sequence[str]) -> list[str]:
    """The command line that runs a command in the holder's namespaces; `join.py` opens `places` there."""
    if not pid:
        return list(command)
    return [sys.executable, "-I", "-S", str(_JOIN), str(pid), str(len(places)), *places, *command]
