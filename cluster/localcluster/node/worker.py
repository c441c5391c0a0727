"""One pod from the moment its node sees it until its object is gone, step by step.

Admission, volumes, init containers, containers; then, when the pod is deleted or over, the same in reverse.
`lifecycle.py` handles each container, `status.py` the status.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable
from dataclasses import replace

from localcluster.api import Json
from localcluster.api.asynchronous import ApiError
from localcluster.errors import LabError, Unreachable
from localcluster.node.admission import admit, release, release_devices
from localcluster.node.fitting import Rejection
from localcluster.node.life import blueprint, pod_sandbox
from localcluster.node.life.ephemeral import EphemeralContainers
from localcluster.node.life.lifecycle import ContainerLoop
from localcluster.node.life.pod_sandbox import SandboxFailure
from localcluster.node.life.resizes import Resizes
from localcluster.node.pod import records, resizing, storage, volumes
from localcluster.node.pod.context import PodContext, Stopped
from localcluster.node.pod.machine import Machine
from localcluster.node.pod.pods import RunningPod
from localcluster.node.pod.publisher import Publisher
from localcluster.node.pod.records import PodRecord
from localcluster.node.pod.restarts import is_sidecar
from localcluster.node.pod.status import OWN_CONDITIONS, PodView, pod_status
from localcluster.node.pod.volumes import MountFailure, Volumes
from localcluster.node.process import processes
from localcluster.node.process.shared import SharedProcesses
from localcluster.quantities import amount

_MOUNT_RETRY = 10.0  # lab seconds
_REFRESH = 60.0  # lab seconds between looks at ConfigMaps, Secrets and tokens
_LEAST_REFRESH = 2.0  # real seconds
_LEAST_DELETE_PAUSE, _MOST_DELETE_PAUSE = 0.5, 10.0  # real seconds between two tries
_LOOK_AT_STORAGE = 10.0  # lab seconds between two looks of the eviction manager
_LEAST_LOOK = 1.0  # real seconds
_LOOK_AT_FREE = 0.1  # real seconds between two looks at what is free: a disk fills by hundreds of MB a second
_EVICTED = "Evicted"
_EVICTION_GRACE = 1.0  # lab seconds for a pod that exceeds a limit, whatever it asks for
_SHOWN = ("labels", "annotations")  # of the pod's metadata, in volumes of the downward API
_OVER = {"Succeeded", "Failed"}

log = logging.getLogger(__name__)


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
            Volumes(
                folder / "volumes",
                machine.reader,
                machine.allocatable,
                machine.lab_dir if machine.isolated else None,
                machine.lab_dir / "disks" / machine.name if machine.isolated else None,
            ),
            view,
            SharedProcesses(folder, machine.lab_dir),
            self._changed,
        )
        self._resizes = Resizes(self.pod)
        self._seen = pod
        view.metadata = pod["metadata"]
        self.pod.object = self._resizes.in_force(pod)
        spec = self.pod.spec
        self.init = [ContainerLoop(self.pod, c, init=True) for c in spec.get("initContainers", ())]
        self.main = [ContainerLoop(self.pod, c, init=False) for c in spec["containers"]]
        self.ephemeral = EphemeralContainers(self.pod)
        self.finished = asyncio.Event()  # nothing of it is left on this node
        self._sandbox = bool(record.pod_ip)
        self._final: Json | None = None  # the status of a pod that was over before this agent started
        self._relabelled = asyncio.Event()  # files may show what has changed
        self._updated = asyncio.Event()  # the object was seen again
        self._deleted = asyncio.Event()  # its end was requested
        self._ended = False  # no container of it runs here, or will
        self._gone = False  # the object is no longer there
        self._deadline = 0.0  # of the termination, in the loop's time
        self._conditions: list[Json] = pod.get("status", {}).get("conditions", [])
        self._publisher = Publisher(machine.api, view, self._warn)
        self.task = asyncio.create_task(self._live(), name=self.pod.full_name)
        machine.table.put(view)

    @property
    def loops(self) -> list[ContainerLoop]:
        """All containers, init containers first."""
        return [*self.init, *self.main, *self.ephemeral.loops]

    # Called by the agent ------------------------------------------------------------------------------------

    def update(self, pod: Json) -> None:
        """The object has changed: it may have been deleted, or with a shorter grace period."""
        if any(pod["metadata"].get(k) != self.pod.object["metadata"].get(k) for k in _SHOWN):
            self._relabelled.set()
        own = [c for c in self._conditions if c["type"] in OWN_CONDITIONS]
        others = [c for c in pod.get("status", {}).get("conditions", []) if c["type"] not in OWN_CONDITIONS]
        self._conditions = [*own, *others]
        self._updated.set()
        if pod["metadata"].get("deletionTimestamp"):
            self._deleted.set()
            self._end_within(float(pod["metadata"].get("deletionGracePeriodSeconds") or 0))
        self._seen = pod
        self.pod.view.metadata = pod["metadata"]
        self._redefine()
        self.ephemeral.look()
        self._changed()

    def _redefine(self) -> None:
        """Images and resources may have changed."""
        before = self.pod.record.allocated
        self.pod.object = self._resizes.in_force(self._seen)
        spec = self.pod.spec
        specs = {c["name"]: c for c in (*spec.get("initContainers", ()), *spec["containers"])}
        for loop in (*self.init, *self.main):
            loop.redefine(specs[loop.name])
        if self.pod.record.allocated != before:
            self._relabelled.set()

    def keep_in_bounds(self) -> None:
        """Kill what holds more than its limit; try again what had no room for other resources."""
        for loop in self.loops:
            loop.keep_in_bounds()
        whole = amount(((self.pod.spec.get("resources") or {}).get("limits") or {}).get("memory", 0))
        if whole and self.memory > whole:
            max(self.loops, key=lambda loop: loop.memory).run_out_of_memory()
        if self._resizes.waits or any(loop.resize_error for loop in self.loops):
            self._redefine()
            self._changed()

    @property
    def memory(self) -> int:
        """Bytes that its containers hold now."""
        return sum(loop.memory for loop in self.loops)

    def vanish(self) -> None:
        """The object was deleted by force: end what runs, without a report.

        A pod preempted with a grace period of 0 ends this way, and its successor comes at the same moment.
        """
        self._gone = True
        release_devices(self.pod)
        self._deleted.set()
        self._end_within(1.0)

    def kill_now(self) -> None:
        """The worker itself is broken: leave no process behind, whatever it knows of them."""
        processes.end_marked(f"{blueprint.POD_VARIABLE}={self.pod.record.uid}")

    def _end_within(self, lab_seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + self.pod.machine.real(lab_seconds)
        if not self.pod.stopping.is_set() or deadline < self._deadline:
            self._deadline = deadline
        self.pod.view.holds = False
        self.pod.stopping.set()

    # Life ---------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        publishing = asyncio.create_task(self._publisher.run(self._status))
        try:
            if said := await self._despite(self._run()):
                self.pod.record.failed = ["AgentError", said]
            held = (self._close_ports, self.pod.processes.tear_down, self.pod.volumes.tear_down)
            for step in (self._stop_all, *held):
                await self._despite(step())
            self._ended = True
            if not self._deleted.is_set():
                release(self.pod)  # over by itself: it stays for its logs until it is deleted
                self._changed()
                await self._deleted.wait()
            await self._take_leave()
        finally:
            publishing.cancel()

    async def _close_ports(self) -> None:
        with contextlib.suppress(LabError):  # nft does not work; the next change of the table takes it along
            await self.pod.machine.host_ports.close(self.pod.record.uid)

    async def _despite(self, step: Awaitable[None]) -> str:
        """Take a step; returns how the agent failed in it, which must not keep a pod from its end."""
        try:
            with contextlib.suppress(Stopped):
                await step
        except Exception as error:
            log.exception("pod %s", self.pod.full_name)
            said = f"The node agent failed on this pod: {error!r}"
            self._warn("AgentError", said)
            self.kill_now()
            return said
        return ""

    async def _run(self) -> None:
        for loop in self.loops:
            loop.restore()
        if self.pod.object.get("status", {}).get("phase") in _OVER:
            self._final = self._publisher.known = self.pod.object["status"]
            return  # only its logs are of interest
        if self.pod.record.over:
            return  # everything was released; only the API server does not know yet
        if self.pod.stopping.is_set() and not self.pod.folder.exists():
            return
        try:
            await self._admit()
        except Rejection as error:
            self._reject(error.reason, error.message)
            return
        deadline = asyncio.create_task(self._active_deadline())
        refresh = asyncio.create_task(self._refresh())
        storage_watch = asyncio.create_task(self._watch_storage())
        try:
            await self._prepare()
            self.ephemeral.begin()
            if await self._initialize():
                await self._start_containers()
                await self.pod.unless_stopped(asyncio.gather(*(loop.over.wait() for loop in self.main)))
        finally:
            deadline.cancel()
            refresh.cancel()
            storage_watch.cancel()

    async def _admit(self) -> None:
        """Until the node has an address, ports and a network for it."""
        while True:
            try:
                await admit(self.pod)
            except OSError as error:
                self._warn(
                    "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error.strerror or error}"
                )
                await self.pod.sleep(_MOUNT_RETRY)
            else:
                return

    def _reject(self, reason: str, message: str) -> None:
        self.pod.record.failed = [reason, f"Pod was rejected: {message}"]
        self.pod.tell(reason, message, warning=True)
        self._changed()

    async def _prepare(self) -> None:
        """Volumes; then the pod has an address."""
        while True:
            try:
                await self.pod.unless_stopped(self.pod.volumes.set_up(self.pod.with_addresses))
                await self.pod.unless_stopped(pod_sandbox.make(self.pod))
                break
            except (MountFailure, SandboxFailure) as failure:
                self.pod.tell(failure.reason, str(failure), warning=True)
                self._changed()
                await self.pod.sleep(_MOUNT_RETRY)
        record = self.pod.record
        ports = {int(p): a for taken in record.ports.values() for p, a in taken.items()}
        self.pod.machine.network.publish(record.pod_ip, ports)
        await self.pod.unless_stopped(self.pod.machine.policies.isolate(self.pod.object, record.pod_ip))
        self._sandbox = True

    async def _initialize(self) -> bool:
        """Init containers, one after the other; False if one failed for good."""
        for loop in self.init:
            loop.start()
            self._changed()
            done = loop.up if is_sidecar(loop.spec) else loop.over
            await self.pod.unless_stopped(done.wait())
            if not is_sidecar(loop.spec) and not loop.succeeded:
                return False
        return True

    async def _start_containers(self) -> None:
        """In their order: image, start and postStart hook of one come before the next, also where one fails.

        As on a kubelet, none is shown as running before all were tried.
        """
        for loop in self.main:
            loop.start()
            await self.pod.unless_stopped(loop.tried.wait())
        self.pod.all_tried.set()
        self._changed()

    def _active_seconds_left(self) -> float | None:
        """Real seconds; None if the pod has no deadline."""
        seconds = self.pod.spec.get("activeDeadlineSeconds")
        if seconds is None:
            return None
        return self.pod.machine.real(seconds) - (time.time() - self.pod.record.started_at)

    async def _active_deadline(self) -> None:
        while (left := self._active_seconds_left()) is None or left > 0:
            self._updated.clear()
            with contextlib.suppress(TimeoutError):  # it may be set, or made shorter, at any time
                await asyncio.wait_for(self._updated.wait(), left)
        message = "Pod was active on the node longer than the specified deadline"
        self.pod.record.failed = ["DeadlineExceeded", message]
        self.pod.record.save(self.pod.folder)
        self.pod.tell("DeadlineExceeded", message)
        self._end_within(float(self.pod.spec.get("terminationGracePeriodSeconds", 30)))

    async def _watch_storage(self) -> None:
        """The kubelet's eviction manager: a pod that uses too much disk is ended at once."""
        if not storage.is_limited(self.pod.spec):
            return
        message = ""
        often = max(self.pod.machine.real(_LOOK_AT_STORAGE), _LEAST_LOOK)
        while not message:
            await self._until_it_may_be_full(often)
            usage = await asyncio.to_thread(storage.measure, self.pod.spec, self.pod.folder)
            message = storage.exceeded(self.pod.spec, usage)
        self.evict(message)

    def evict(self, message: str) -> None:
        """End the pod at once, as one that took too much of its node; safe to repeat."""
        if self.pod.record.failed or self.pod.stopping.is_set():
            return
        self.pod.record.failed = [_EVICTED, message]
        self.pod.record.save(self.pod.folder)
        self.pod.tell(_EVICTED, message, warning=True)
        self._end_within(_EVICTION_GRACE)

    async def _until_it_may_be_full(self, seconds: float) -> None:
        """Until the next look of the eviction manager, or until the disk has lost much of its free space."""
        loop = asyncio.get_running_loop()
        free, end = storage.free(self.pod.folder), loop.time() + seconds
        while loop.time() < end and free - storage.free(self.pod.folder) < storage.MUCH:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AT_FREE)

    async def _refresh(self) -> None:
        """Show new labels and annotations at once; new ConfigMaps, Secrets and tokens after a while."""
        often = volumes.changes(self.pod.object)
        while True:
            pause = max(self.pod.machine.real(_REFRESH), _LEAST_REFRESH) if often else 300.0
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._relabelled.wait(), pause)
            self._relabelled.clear()
            try:
                await self.pod.volumes.set_up(self.pod.with_addresses)
            except MountFailure as failure:
                self.pod.tell(failure.reason, str(failure), warning=True)

    # End ----------------------------------------------------------------------------------------------------

    async def _stop_all(self) -> None:
        """All together, but a sidecar is signalled only after the containers that started after it are over.

        Its preStop hook does not wait. Source: https://kep.k8s.io/753
        """
        self.pod.stopping.set()
        turn = [loop.over for loop in self.main]
        stops = [loop.stop(self._left) for loop in (*self.main, *self.ephemeral.loops)]
        for loop in reversed(self.init):
            stops.append(loop.stop(self._left, turn if is_sidecar(loop.spec) else ()))
            turn = [*turn, loop.over] if is_sidecar(loop.spec) else turn
        await asyncio.gather(*stops)
        if self.pod.record.failed[:1] == [_EVICTED]:  # the kubelet clears a full disk at once, too
            await asyncio.to_thread(storage.clear, self.pod.spec, self.pod.folder)
        self._ended = True
        self._changed()

    def _left(self) -> float:
        """Real seconds until everything is killed; it may become less while we wait."""
        now = asyncio.get_running_loop().time()
        if not self._deadline:
            grace = float(self.pod.spec.get("terminationGracePeriodSeconds", 30))
            self._deadline = now + self.pod.machine.real(grace)
        return max(0.0, self._deadline - now)

    async def _take_leave(self) -> None:
        """Write the pod's last status, delete its object and everything of it here."""
        release(self.pod)
        if not self._gone:
            await self._despite(self._publisher.flush(self._status))
            await self._delete_object()
        self.pod.machine.table.remove(self.pod.record.uid)
        await self._despite(asyncio.to_thread(records.remove, self.pod.folder))
        self.finished.set()

    async def _delete_object(self) -> None:
        record = self.pod.record
        path = f"/api/v1/namespaces/{record.namespace}/pods/{record.name}"
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": record.uid}}
        pause, said = _LEAST_DELETE_PAUSE, ""
        while not self._gone:
            try:
                await self.pod.machine.api.delete(path, body)
            except ApiError as error:
                if error.gone or error.conflict:
                    return
                if error.message != said:  # a webhook, for example, that denies it
                    said = error.message
                    self._warn("FailedDelete", f"The API server refuses to delete this pod: {said}")
                await asyncio.sleep(pause)
                pause = min(pause * 2, _MOST_DELETE_PAUSE)
            except Unreachable:
                await asyncio.sleep(_LEAST_DELETE_PAUSE)
            else:
                return

    # Status -------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        self._publisher.ask()

    def _warn(self, reason: str, message: str) -> None:
        self.pod.tell(reason, message, warning=True)

    def _status(self) -> tuple[Json, dict[str, str]]:
        if self._final is not None:
            return self._final, {}
        view = PodView(
            spec=self.pod.spec,
            generation=self.pod.object["metadata"].get("generation", 1),
            old_conditions=self._conditions,
            init=[loop.state for loop in self.init],
            ephemeral=[loop.state for loop in self.ephemeral.loops],
            main=[replace(loop.state, gpus=self.pod.gpu_health(loop.name)) for loop in self.main],
            sandbox=self._sandbox,
            host_ip=self.pod.machine.ip,
            pod_ip=self.pod.record.pod_ip,
            started_at=self.pod.record.started_at,
            now=time.time(),
            failed=tuple(self.pod.record.failed),
            told_phase=self.pod.view.status.get("phase", ""),
            terminating=self.pod.stopping.is_set(),
            alive=not self._ended,
            resizes=self._resizes.conditions(filter(None, (loop.resize_error for loop in self.loops))),
        )
        status = pod_status(view)
        kept = {c["type"]: c for c in self._conditions} | {c["type"]: c for c in status["conditions"]}
        shown = {c["type"] for c in status["conditions"]}
        over = [kind for kind in resizing.CONDITIONS if kind in kept and kind not in shown]
        self._conditions = [c for kind, c in kept.items() if kind not in over]
        status["conditions"] += [{"type": kind, "$patch": "delete"} for kind in over]
        own = self.pod.machine.network.own
        return status, {} if own else blueprint.address_annotations(self.pod.record.ports)
