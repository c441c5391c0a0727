"""The processes of a pod with `shareProcessNamespace`: in a namespace that outlives each container.

Its first process is no container's, as on any node. A process can join such a namespace only in the user
namespace that it belongs to, which has one user: the one of the container that starts first.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

from localcluster import spawn
from localcluster.images.confine import NO_CAPABILITIES
from localcluster.node.process import container, held, processes, sandbox
from localcluster.node.process.container import ID_VARIABLE, Run
from localcluster.toolchain.locate import bwrap

FOLDER = "processes"
"""The folder of a pod with the record of the first process."""
_ID = "shared-processes-of-"
_FIRST = ("sh", "-c", "sleep infinity & wait")  # it reaps what containers leave
_SYSTEM = ("/usr", "/bin", "/lib", "/lib64")


class SharedProcesses:
    """The process namespace of one pod; nothing is started unless a container asks."""

    def __init__(self, pod_folder: Path, lab_dir: Path) -> None:
        self._folder = pod_folder / FOLDER
        self._lab_dir = lab_dir
        self._starting = asyncio.Lock()

    async def first(self, uid: int, gid: int, holder: int) -> int:
        """The pid of the first process; makes the namespace if there is none.

        It is for this user and group, and beside the pod's volumes in memory.
        """
        async with self._starting:
            found = find(self._folder) or await self._hold(uid, gid, holder)
        return found.pid

    async def _hold(self, uid: int, gid: int, holder: int) -> Run:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "status").unlink(missing_ok=True)
        log, began = self._folder / "log", time.time()
        env = {spawn.MARKER: str(self._lab_dir), ID_VARIABLE: _id(self._folder), "PATH": sandbox.DEFAULT_PATH}
        with container.status_file(self._folder) as status:
            words = [str(bwrap()), "--json-status-fd", str(status), "--unshare-user", "--unshare-pid"]
            words += ["--as-pid-1", "--uid", str(uid), "--gid", str(gid), *NO_CAPABILITIES, *_root()]
            command = held.joining(holder, (), [*words, *_FIRST])
            monitor = spawn.popen(command, log=log, env=env, pass_fds=(status,))
            return await container.started(monitor, folder=self._folder, log=log, began=began)

    async def tear_down(self) -> None:
        """End the namespace with every process in it."""
        if found := await asyncio.to_thread(find, self._folder):
            found.kill()
            await found.wait()


def find(folder: Path) -> Run | None:
    """The first process of a pod's namespace, if there is one; killing it ends all of them."""
    run = container.adopt(folder, folder / "log", _id(folder)) if folder.is_dir() else None
    return run if run and processes.started(run.pid) is not None else None


def _id(folder: Path) -> str:
    """Of one pod: its folder bears its uid."""
    return f"{_ID}{folder.parent.name}"


def _root() -> Iterator[str]:
    """Of the host only what an image without a system of its own sees, too: containers can look into it."""
    for place in map(Path, _SYSTEM):
        if place.is_symlink():
            yield from ("--symlink", os.fspath(place.readlink()), str(place))
        elif place.is_dir():
            yield from ("--ro-bind", str(place), str(place))
    yield from ("--dev-bind", "/dev/null", "/dev/null")
