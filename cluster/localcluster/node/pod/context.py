"""One pod as all its parts see it: its object, its folder, what it was given, and whether it is ending."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from localcluster.api import Json
from localcluster.api.events import pod_reference
from localcluster.node.pod.machine import Machine
from localcluster.node.pod.pods import RunningPod
from localcluster.node.pod.records import PodRecord
from localcluster.node.pod.volumes import Volumes
from localcluster.node.process.shared import SharedProcesses

T = TypeVar("T")


class Stopped(Exception):
    """The pod is ending: waits are cancelled."""


@dataclass
class PodContext:
    """Shared by a pod's worker and its containers; `changed` asks for a new status."""

    machine: Machine
    object: Json  # the pod, as last seen
    record: PodRecord
    folder: Path
    volumes: Volumes
    view: RunningPod
    processes: SharedProcesses
    changed: Callable[[], None]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    all_tried: asyncio.Event = field(default_factory=asyncio.Event)  # each main container's first start

    @property
    def spec(self) -> Json:
        """The pod's spec."""
        found: Json = self.object["spec"]
        return found

    @property
    def full_name(self) -> str:
        """As the kubelet writes it in messages: name_namespace(uid)."""
        return f"{self.record.name}_{self.record.namespace}({self.record.uid})"

    @property
    def with_addresses(self) -> Json:
        """The pod with the addresses that the downward API may ask for."""
        ip, node = self.record.pod_ip, self.machine.ip
        own = {"hostIP": node, "hostIPs": [{"ip": node}], "podIP": ip, "podIPs": [{"ip": ip}]}
        return {**self.object, "status": {**self.object.get("status", {}), **own}}

    def gpu_health(self, container: str) -> dict[str, bool]:
        """The devices of a container (UUIDs), and whether each is healthy."""
        inventory = self.machine.inventory
        return {uuid: inventory.illness(uuid) is None for uuid in self.record.gpus.get(container, ())}

    def tell(self, reason: str, message: str, *, container: str = "", warning: bool = False) -> None:
        """Write an event about the pod, or about one of its containers."""
        init = any(c["name"] == container for c in self.spec.get("initContainers", ()))
        about = pod_reference(self.object, container, init=init)
        recorder = self.machine.recorder
        (recorder.warning if warning else recorder.normal)(about, reason, message)

    async def sleep(self, lab_seconds: float, *, but: asyncio.Event | None = None) -> None:
        """Wait for lab time, or until the event `but`; raises `Stopped` as soon as the pod is ending."""
        event = but or asyncio.Event()
        with contextlib.suppress(TimeoutError):
            await self.unless_stopped(asyncio.wait_for(event.wait(), self.machine.real(lab_seconds)))

    async def unless_stopped(self, work: Awaitable[T]) -> T:
        """Await `work`; cancel it and raise `Stopped` as soon as the pod is ending."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if self.stopping.is_set():
                raise Stopped
            return task.result()
        finally:
            task.cancel()
            stop.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)  # a result that comes now is too late
