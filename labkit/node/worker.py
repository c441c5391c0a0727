"""One pod from the moment its node hears of it until its object is gone: the order in which things happen.

Admission, volumes, init containers, containers; then, when the pod is deleted or over, the same backwards.
What happens inside a container is `lifecycle.py`'s, what the status says is `status.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import Any

from labkit.apiserver.api import ApiError
from labkit.errors import Unreachable
from labkit.node.admission import Rejection, admit, release, release_devices
from labkit.node.life.blueprint import address_annotations
from labkit.node.life.lifecycle import ContainerLoop
from labkit.node.pod import records, volumes
from labkit.node.pod.context import PodContext, Stopped
from labkit.node.pod.machine import HOST_IP, Machine
from labkit.node.pod.pods import RunningPod
from labkit.node.pod.publisher import Publisher
from labkit.node.pod.records import PodRecord
from labkit.node.pod.status import PodView, is_sidecar, pod_status
from labkit.node.pod.volumes import MountFailure, Volumes

Json = dict[str, Any]

_MOUNT_RETRY = 10.0  # lab seconds
_REFRESH = 60.0  # lab seconds between looks at ConfigMaps, Secrets and tokens
_LEAST_REFRESH = 2.0  # real seconds
_OVER = {"Succeeded", "Failed"}


class PodWorker:
    """The worker of one pod; everything it does runs in tasks of the agent's loop."""

    def __init__(self, machine: Machine, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        folder = machine.pod_folder(uid)
        record = PodRecord.load(folder) or PodRecord.new(pod, machine.name)
        view = RunningPod(
            uid, record.namespace, record.name, machine.name, folder, pod["spec"], pod.get("status", {})
        )
        self.pod = PodContext(
            machine,
            pod,
            record,
            folder,
            Volumes(folder / "volumes", machine.reader),
            view,
            self._changed,
        )
        self.init = [ContainerLoop(self.pod, c, init=True) for c in pod["spec"].get("initContainers", ())]
        self.main = [ContainerLoop(self.pod, c, init=False) for c in pod["spec"]["containers"]]
        self.finished = asyncio.Event()  # nothing of it is left on this node
        self._sandbox = bool(record.pod_ip)
        self._rejected: tuple[str, str] | None = None
        self._deleted = asyncio.Event()  # somebody asked for its end
        self._gone = False  # the object is no longer there
        self._deadline = 0.0  # of the termination, in the loop's time
        self._conditions: list[Json] = pod.get("status", {}).get("conditions", [])
        self._publisher = Publisher(machine.api, self.pod.view)
        self.task = asyncio.create_task(self._live(), name=self.pod.full_name)
        for loop in self.loops:
            loop.restore()
        machine.table.put(view)

    @property
    def loops(self) -> list[ContainerLoop]:
        """All containers, init containers first."""
        return [*self.init, *self.main]

    # What the agent tells it --------------------------------------------------------------------------------

    def update(self, pod: Json) -> None:
        """The object has changed: a deletion may have been asked for, or made shorter."""
        self.pod.object = pod
        own = {c["type"]: c for c in self._conditions}
        theirs = {c["type"]: c for c in pod.get("status", {}).get("conditions", [])}
        self._conditions = list((theirs | own).values())
        if pod["metadata"].get("deletionTimestamp"):
            self._deleted.set()
            self._end_within(float(pod["metadata"].get("deletionGracePeriodSeconds") or 0))
        self._changed()

    def vanish(self) -> None:
        """The object is gone, by force: end what runs, and tell nobody.

        Who was preempted with a grace period of 0 goes so, and its successor comes in the same moment.
        """
        self._gone = True
        release_devices(self.pod)
        self._deleted.set()
        self._end_within(1.0)

    def kill_now(self) -> None:
        """The worker itself is broken: leave no process behind."""
        for loop in self.loops:
            if loop.run:
                loop.run.kill()

    def _end_within(self, lab_seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + self.pod.machine.real(lab_seconds)
        if not self.pod.stopping.is_set() or deadline < self._deadline:
            self._deadline = deadline
        self.pod.stopping.set()

    # Life ---------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        publishing = asyncio.create_task(self._publisher.run(self._status))
        with contextlib.suppress(Stopped):
            await self._run()
        await self._stop_all()
        if not self._deleted.is_set():
            release(self.pod)  # over by itself: it stays for its logs until somebody deletes it
            self._changed()
            await self._deleted.wait()
        await self._take_leave()
        publishing.cancel()

    async def _run(self) -> None:
        if self.pod.object.get("status", {}).get("phase") in _OVER:
            self._restore_finished()
            return
        if self.pod.stopping.is_set() and not self.pod.folder.exists():
            return
        try:
            admit(self.pod)
        except Rejection as error:
            self._reject("UnexpectedAdmissionError", str(error))
            return
        deadline = asyncio.create_task(self._active_deadline())
        refresh = asyncio.create_task(self._refresh())
        try:
            await self._prepare()
            if await self._initialize():
                for loop in self.main:
                    loop.start()
                self._changed()
                await self.pod.unless_stopped(asyncio.gather(*(loop.over.wait() for loop in self.main)))
        finally:
            deadline.cancel()
            refresh.cancel()

    def _restore_finished(self) -> None:
        """It was over before this agent started; only its logs are of interest."""
        status = self.pod.object["status"]
        self._publisher.known = status

    def _reject(self, reason: str, message: str) -> None:
        self._rejected = (reason, f"Pod was rejected: {message}")
        self.pod.tell(reason, message, warning=True)
        self._changed()

    async def _prepare(self) -> None:
        """Volumes; then the pod has an address."""
        while True:
            try:
                await self.pod.unless_stopped(self.pod.volumes.set_up(self.pod.with_addresses))
                break
            except MountFailure as failure:
                self.pod.tell("FailedMount", str(failure), warning=True)
                self._changed()
                await self.pod.sleep(_MOUNT_RETRY)
        record = self.pod.record
        ports = {int(p): a for taken in record.ports.values() for p, a in taken.items()}
        self.pod.machine.addresses.publish(record.pod_ip, ports)
        self._sandbox = True

    async def _initialize(self) -> bool:
        """Init containers, one after the other; False where one failed for good."""
        for loop in self.init:
            loop.start()
            self._changed()
            done = loop.up if is_sidecar(loop.spec) else loop.over
            await self.pod.unless_stopped(done.wait())
            if not is_sidecar(loop.spec) and not loop.succeeded:
                return False
        return True

    async def _active_deadline(self) -> None:
        seconds = self.pod.spec.get("activeDeadlineSeconds")
        if seconds is None:
            return
        began = self.pod.record.started_at
        left = self.pod.machine.real(seconds) - (time.time() - began)
        await asyncio.sleep(max(0.0, left))
        message = "Pod was active on the node longer than the specified deadline"
        self._rejected = ("DeadlineExceeded", message)
        self.pod.tell("DeadlineExceeded", message)
        self._end_within(float(self.pod.spec.get("terminationGracePeriodSeconds", 30)))

    async def _refresh(self) -> None:
        """Show new contents of ConfigMaps and Secrets, and fresh tokens, after a while."""
        often = volumes.changes(self.pod.object)
        while True:
            pause = max(self.pod.machine.real(_REFRESH), _LEAST_REFRESH) if often else 300.0
            await asyncio.sleep(pause)
            try:
                await self.pod.volumes.set_up(self.pod.with_addresses)
            except MountFailure as failure:
                self.pod.tell("FailedMount", str(failure), warning=True)

    # End ----------------------------------------------------------------------------------------------------

    async def _stop_all(self) -> None:
        """Containers together, then sidecars in reverse order, as they started."""
        self.pod.stopping.set()
        await asyncio.gather(*(loop.stop(self._left) for loop in self.main))
        for loop in reversed(self.init):
            await loop.stop(self._left)
        self._changed()

    def _left(self) -> float:
        """Real seconds until everything is killed; it may become less while we wait."""
        now = asyncio.get_running_loop().time()
        if not self._deadline:
            grace = float(self.pod.spec.get("terminationGracePeriodSeconds", 30))
            self._deadline = now + self.pod.machine.real(grace)
        return max(0.0, self._deadline - now)

    async def _take_leave(self) -> None:
        """Say the last word about the pod, delete its object and everything of it here."""
        release(self.pod)
        if not self._gone:
            await self._publisher.flush(self._status)
            await self._delete_object()
        self.pod.machine.table.remove(self.pod.record.uid)
        await asyncio.to_thread(records.remove, self.pod.folder)
        self.finished.set()

    async def _delete_object(self) -> None:
        record = self.pod.record
        path = f"/api/v1/namespaces/{record.namespace}/pods/{record.name}"
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": record.uid}}
        while not self._gone:
            try:
                await self.pod.machine.api.delete(path, body)
            except ApiError as error:
                if error.code not in {404, 409}:
                    await asyncio.sleep(0.5)
                    continue
            except Unreachable:
                await asyncio.sleep(0.5)
                continue
            return

    # Status -------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        self._publisher.ask()

    def _status(self) -> tuple[Json, dict[str, str]]:
        view = PodView(
            spec=self.pod.spec,
            generation=self.pod.object["metadata"].get("generation", 1),
            old_conditions=self._conditions,
            init=[loop.state for loop in self.init],
            main=[replace(loop.state, gpus=self.pod.gpu_health(loop.name)) for loop in self.main],
            sandbox=self._sandbox,
            host_ip=HOST_IP,
            pod_ip=self.pod.record.pod_ip,
            started_at=self.pod.record.started_at,
            now=time.time(),
            rejected=self._rejected,
            terminating=self.pod.stopping.is_set(),
        )
        status = pod_status(view)
        kept = {c["type"]: c for c in self._conditions} | {c["type"]: c for c in status["conditions"]}
        self._conditions = list(kept.values())
        return status, address_annotations(self.pod.record.ports)
