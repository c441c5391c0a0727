"""The pods of one node: a worker for each, kept in sync with the API server.

A pod that the API server no longer has is ended; what a dead agent left of it is removed.
"""

from __future__ import annotations

import asyncio
import logging
import time

from localcluster.api import Json
from localcluster.api.asynchronous import Change, Listed
from localcluster.node.pod.machine import Machine
from localcluster.node.worker import PodWorker

_KEPT_AFTER_END = 10.0  # seconds in which a late event about a finished pod does not count as a new pod

log = logging.getLogger(__name__)


class NodeLoop:
    """Watches one node's pods, in that node's own name."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.workers: dict[str, PodWorker] = {}
        self.listed = asyncio.Event()  # the API server has listed all pods of the node
        self._finished: dict[str, float] = {}

    async def run(self) -> None:
        """Follow the pods; never returns."""
        selector = f"spec.nodeName={self.machine.name}"
        async for event in self.machine.api.watch("/api/v1/pods", fieldSelector=selector):
            if isinstance(event, Listed):
                self._reconcile(event.items)
            else:
                self._apply(event)

    def refresh(self) -> None:
        """The node changed in a way that its pods' statuses show."""
        for worker in self.workers.values():
            worker.pod.changed()

    def _reconcile(self, pods: tuple[Json, ...]) -> None:
        for pod in pods:
            self._see(pod)
        known = {pod["metadata"]["uid"] for pod in pods}
        for uid, worker in self.workers.items():
            if uid not in known:
                worker.vanish()
        self.listed.set()

    def _apply(self, change: Change) -> None:
        if change.type != "DELETED":
            self._see(change.object)
        elif worker := self.workers.get(change.object["metadata"]["uid"]):
            worker.vanish()

    def _see(self, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        if worker := self.workers.get(uid):
            worker.update(pod)
            return
        if uid in self._finished:
            return
        worker = self.workers[uid] = PodWorker(self.machine, pod)
        worker.task.add_done_callback(lambda task: self._done(uid, task))
        worker.update(pod)

    def _done(self, uid: str, task: asyncio.Task[None]) -> None:
        worker = self.workers.pop(uid, None)
        now = time.monotonic()
        self._finished = {u: t for u, t in self._finished.items() if now - t < _KEPT_AFTER_END}
        if worker is None or task.cancelled() or not (error := task.exception()):
            self._finished[uid] = now
            return  # a broken one has a successor at the pod's next event, its deletion at the latest
        log.error("the worker of pod %s broke", worker.pod.full_name, exc_info=error)
        worker.pod.tell("AgentError", f"The node agent failed on this pod: {error!r}", warning=True)
        worker.kill_now()
