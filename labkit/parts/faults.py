"""`lab.faults`: break a process or a part of the cluster on purpose, and put it back.

Refuses to change parts of a cluster that labkit did not make.
"""

from __future__ import annotations

from pathlib import Path

from labkit import faults
from labkit.kube.client import Kube
from labkit.view import live, notebook
from labkit.view.verdict import Note
from localcluster.provider import Provider

LONGEST_BACK_OFF = 300  # lab seconds: the longest back-off of a kubelet before it restarts a container


class Faults:
    """Plant and lift faults. `lab.reset()` lifts whatever is still planted."""

    def __init__(self, kube: Kube, provider: Provider) -> None:
        self._kube, self._provider = kube, provider

    def plant(self, path: str | Path) -> None:
        """Break a part of the cluster as a manifest describes; `lift` and `lab.reset()` undo it."""
        for name in faults.plant(self._kube, Path(path), owned=self._provider.owns_cluster):
            notebook.show(Note(f"{name} changed as described in {path}"))

    def lift(self) -> None:
        """Undo everything that `plant` changed."""
        there = [f"{name} restored" for name in faults.lift(self._kube)]
        notebook.show(Note("\n".join(there) or "there was nothing to restore"))

    def kill(self, pod: str) -> None:
        """`kill -9` the first process of `pod/NAME` from outside; wait out a back-off first.

        Returns once the API server knows that it ended, so the next `lab.until` sees what follows.
        """
        longest = max(60, LONGEST_BACK_OFF / self._kube.clock + 10)  # a real kubelet counts in real seconds
        there = live.until_running(self._kube, pod, seconds=longest)
        pid = self._provider.kill(there)
        live.until_ended(self._kube, there)
        notebook.show(Note(f"{pod}: process 1 of its container, {pid} on its node, got SIGKILL"))
