"""kill -9 for a container's first process, from outside, as the kernel does when memory runs out.

From inside it can't be done: the first process of a PID namespace ignores every signal that it has no handler
for, SIGKILL included. Refuses containers whose processes are not processes of this machine.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil

from localcluster import polling
from localcluster.api.objects import KubeObject
from localcluster.errors import BadInput, WaitTimeout
from localcluster.node.process import processes
from localcluster.node.process.container import ID_VARIABLE

_PATIENCE = 3.0  # real seconds: a container that was started a moment ago gets its process a moment later


def kill(pod: KubeObject) -> int:
    """Send SIGKILL to the first process of the pod's first container; its pid on this machine."""
    container = str(pod.at("status.containerStatuses.0.containerID", "")).rpartition("//")[2]
    found: list[int] = []

    def there() -> bool:
        found[:] = first_processes(container) if container else []
        return bool(found)

    try:
        polling.until(there, f"a process of {pod!r} on this machine", seconds=_PATIENCE, every=0.05)
    except WaitTimeout as error:
        raise BadInput(
            f"No process of {pod!r} was found on this machine.",
            cause="Its container is not running now, or it runs on a node of a real cluster.",
            fix="Wait until it runs; on a real cluster: kubectl delete pod, or kill it on its node.",
        ) from error
    for pid in found:
        processes.send(pid, signal.SIGKILL)
    return found[0]


def first_processes(container_id: str) -> list[int]:
    """The process that is number 1 in the container; without isolation, all of the container's."""
    every = list(_of(container_id))
    return [pid for pid in every if _is_first(pid)] or every


def _of(container_id: str) -> Iterator[int]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(ID_VARIABLE) == container_id:
                yield process.pid
        except (psutil.Error, OSError):
            continue


def _is_first(pid: int) -> bool:
    """Whether the innermost PID namespace of the process, not this machine's own, calls it 1."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    numbers = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), [])
    return len(numbers) > 1 and numbers[-1] == "1"
