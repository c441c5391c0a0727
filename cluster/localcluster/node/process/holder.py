"""A pod's volumes in memory: tmpfs mounts that its containers share and that outlive each container.

An ordinary user can mount only inside a user namespace, and a mount is visible only in its mount namespace.
So a pod with such volumes has one more process, which only keeps both namespaces open (as a pod's pause
container keeps its network); its containers are started inside them. The kernel enforces the size of each
volume.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from localcluster import spawn
from localcluster.images.confine import NO_CAPABILITIES
from localcluster.node.process import container, processes, sandbox
from localcluster.node.process.container import ID_VARIABLE, Run
from localcluster.toolchain.locate import bwrap

FOLDER = "memory"
"""The folder of a pod with the record of this process."""

_ID = "volumes-in-memory-of-"
_MODE = "0777"  # of an emptyDir


async def hold(folder: Path, sizes: Mapping[Path, int], lab_dir: Path) -> Run:
    """Keep a tmpfs of the given size at each path; continues if an earlier agent started it."""
    if found := find(folder):
        return found
    _forget(folder)
    log, began = folder / "log", time.time()
    mounts = [
        word
        for path, size in sizes.items()
        for word in ("--perms", _MODE, "--size", str(size), "--tmpfs", str(path))
    ]
    env = {spawn.MARKER: str(lab_dir), ID_VARIABLE: _id(folder), "PATH": sandbox.DEFAULT_PATH}
    with container.status_file(folder) as status:
        words = [str(bwrap()), "--json-status-fd", str(status), "--unshare-user", "--uid", "0"]
        words += ["--gid", "0", *NO_CAPABILITIES, "--dev-bind", "/", "/", *mounts, "sleep", "infinity"]
        monitor = spawn.popen(words, log=log, env=env, pass_fds=(status,))
        return await container.started(monitor, folder=folder, log=log, began=began)


def _id(folder: Path) -> str:
    """Of one pod: its folder bears its uid."""
    return f"{_ID}{folder.parent.name}"


def _forget(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "status").unlink(missing_ok=True)


def find(folder: Path) -> Run | None:
    """The process that holds a pod's volumes, if there is one; killing it removes them."""
    run = container.adopt(folder, folder / "log", _id(folder)) if folder.is_dir() else None
    return run if run and processes.started(run.pid) is not None else None
