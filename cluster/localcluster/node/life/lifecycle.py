"""The life of one container: image, start, probes, end, back-off, and restarts as its policy says.

It acts on one container and reports into its `ContainerState`; the pod's worker decides when the pod starts
and ends. Each start is recorded before it is reported, so that the next agent finds it if this one is killed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from localcluster.api import Json
from localcluster.errors import LabError
from localcluster.images.rootfs import RunnableImage
from localcluster.node.life import acquiring, blueprint, ending, hooks
from localcluster.node.life.acquiring import Acquisition
from localcluster.node.life.backoff import BackOff, restart_delay, span
from localcluster.node.life.blueprint import Blueprint
from localcluster.node.life.ending import Left
from localcluster.node.life.history import History, terminated
from localcluster.node.life.monitor import Callbacks, Monitor
from localcluster.node.pod import resizing
from localcluster.node.pod.context import PodContext, Stopped
from localcluster.node.pod.pods import RunningContainer
from localcluster.node.pod.records import RunRecord
from localcluster.node.pod.restarts import is_sidecar, should_restart
from localcluster.node.pod.status import ContainerState, Running, Terminated, Waiting
from localcluster.node.process import bounds, container, processes, unboxed
from localcluster.node.process.container import Ended, Run, StartFailure
from localcluster.node.process.environment import ConfigError
from localcluster.quantities import amount

log = logging.getLogger(__name__)

_CONFIG_RETRY = 10.0  # lab seconds; the kubelet's next round


class ContainerLoop:
    """One container of one pod, over all of its runs."""

    _together = True  # others see it as running only when each of its kind was tried once

    def __init__(self, pod: PodContext, spec: Json, *, init: bool) -> None:
        self.pod = pod
        self.spec = spec
        self.init = init
        self.name = str(spec["name"])
        first = "PodInitializing" if pod.spec.get("initContainers") and not init else "ContainerCreating"
        if init:
            first = "PodInitializing"
        resources = spec.get("resources") or {}
        self.state = ContainerState(self.name, spec["image"], Waiting(first))
        self.state.resources = self.state.allocated = resources
        self.resize_error = ""  # why it runs with other resources than those given to it
        self.run: Run | None = None
        self.record: RunRecord | None = None
        self.over = asyncio.Event()  # ended, and will not run again
        self.tried = asyncio.Event()  # started (with its postStart hook), or failed to, at least once
        self.up = asyncio.Event()  # has started (and passed its startup probe, for sidecars)
        self.killed_for = ""  # a reason that outranks the exit code: OOMKilled
        self._plain_init = init and not is_sidecar(spec)
        self._redefined = asyncio.Event()  # its image was changed
        self._hook_failed = ""  # message of a postStart hook of the current run
        self._task: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._lefts: list[Left] = []  # of all requests to end the current run
        self._restarting: asyncio.Task[None] | None = None
        self._acquisition = Acquisition(pod, spec, self._wait_with)
        self._backoff = BackOff()
        self._history = History(pod.folder / self.name, spec)
        self._monitor: Monitor | None = None

    def start(self) -> asyncio.Task[None]:
        """Start, or adopt what an earlier agent left."""
        if self._task is None:
            self._task = asyncio.create_task(self._live(), name=f"{self.pod.full_name}/{self.name}")
            self._task.add_done_callback(self._report)
        return self._task

    def redefine(self, spec: Json) -> None:
        """The object has changed: of a container that can be its image and its resources."""
        self._resize(spec.get("resources") or {})
        if spec["image"] == self.spec["image"]:
            return
        self.spec = spec | {"resources": self.state.resources}
        self.state.image = spec["image"]
        self._acquisition.redefine(spec)
        self._backoff.reset()
        self._redefined.set()  # whatever it waits for, the new image is tried at once
        if self.run is not None:
            self._replace()

    def _replace(self) -> None:
        """End the current run so that the new definition takes effect."""
        if self._plain_init:
            return
        kind, again = ("Init container", "") if self.init else ("Container", ", will be restarted")
        self._restart_for(f"{kind} {self.name} definition changed{again}", None)

    def _resize(self, resources: Json) -> None:
        """Take up other resources: with a restart if the container wants one, else where it runs."""
        self.state.allocated = resources
        self.resize_error = ""
        if resources == self.state.resources:
            return
        restarted = resizing.restarts(self.spec, resources)
        limit, used = _memory_limit(resources), self.memory
        if not restarted and 0 < limit <= used and not 0 < self.memory_limit <= limit:
            said = f'attempting to set container "{self.name}" memory limit ({limit}) below current usage'
            self.resize_error = f"cannot decrease memory limits: {said} ({used})"
            return
        self.spec = self.spec | {"resources": resources}
        self.state.resources = resources
        if restarted and self.run:
            self._redefined.set()
            self._restart_for(f"Container {self.name} resize requires restart", None)

    def _report(self, task: asyncio.Task[None]) -> None:
        """A bug in the agent must not look like a waiting container."""
        if not task.cancelled() and (error := task.exception()):
            log.error("container %s of %s", self.name, self.pod.full_name, exc_info=error)
            self.pod.tell(
                "AgentError", f"The node agent failed: {error!r}", container=self.name, warning=True
            )

    async def _live(self) -> None:
        try:
            ended = self._found_ended()
            while True:
                ended = ended or await self._one_run()
                self._note_end(ended)
                self.tried.set()
                if not self._again(ended.exit_code):
                    return
                await self._back_off()
                ended = None
        except Stopped:  # it was not running: there is nothing to end
            if isinstance(self.state.state, Waiting) and self.state.last:
                self.state.state, self.state.last = self.state.last, None
        finally:
            self.over.set()
            self.pod.changed()

    # One run ------------------------------------------------------------------------------------------------

    async def _one_run(self) -> Ended:
        adopted = self.run  # of an earlier agent: its hook ran, or was lost with that agent
        if adopted is None:
            try:
                await self._bring_up()
            except StartFailure as failure:
                return self._failed_start(str(failure))
        run = self.run
        if run is None:
            raise AssertionError("a container that was brought up runs")
        view = self._publish(run.pid)
        over = asyncio.ensure_future(run.wait())
        if adopted or await self._post_start(view, over):
            self.tried.set()
            if not self.init and self._together:
                await ending.first(self.pod.all_tried.wait(), over)
            if not over.done():
                self._watch(view)
        return await over

    async def _bring_up(self) -> None:
        while True:
            number = self.record.number + 1 if self.record else 0
            folder = self._history.folder(number)
            try:
                image = await self._acquisition.image()
                await acquiring.of_volumes(self.pod, self.spec, self._wait_with)
                plan = await self._draw(image, folder)
                if self.pod.stopping.is_set():
                    raise Stopped
                await self._start(plan, number, folder)
            except ConfigError as error:
                await self._try_later("CreateContainerConfigError", str(error))
            except (OSError, LabError) as error:  # a full disk, an API server that is away
                await self._try_later("CreateContainerError", str(error))
            else:
                return

    async def _draw(self, image: RunnableImage, folder: Path) -> Blueprint:
        return await blueprint.draw(self.pod, self.spec, image, folder)

    async def _try_later(self, reason: str, message: str) -> None:
        self.pod.tell("Failed", f"Error: {message}", container=self.name, warning=True)
        self._wait_with(Waiting(reason, message))
        await self.pod.sleep(_CONFIG_RETRY)

    async def _start(self, plan: Blueprint, number: int, folder: Path) -> None:
        image = plan.image
        self.record = RunRecord(
            container_id=plan.container_id,
            image=str(self.spec["image"]),
            image_id=str(image.ref.at(image.digest)),
            number=number,
            started_at=time.time(),
            env=plan.box.env,
            stop_signal=image.config.stop_signal,
        )
        self.record.save(folder)
        self._redefined.clear()
        await asyncio.to_thread(self._history.forget, before=number - 1)
        self.pod.tell("Created", "Container created", container=self.name)
        self._publish(None)
        machine = self.pod.machine
        if not machine.isolated:
            self.pod.tell("NoIsolation", unboxed.WARNING, container=self.name, warning=True)
        start = container.start if machine.isolated else unboxed.start
        memory = machine.config.memory_mib * 2**20
        place = container.Place(folder, self._history.log(number), machine.lab_dir, self._inside, memory)
        self.run = await start(plan.box, place)
        self.pod.tell("Started", "Container started", container=self.name)

    def _inside(self) -> AbstractContextManager[None]:
        return self.pod.machine.network.inside(self.pod.record.uid)

    async def _post_start(self, view: RunningContainer, over: asyncio.Future[Ended]) -> bool:
        """The postStart hook is part of the start; False if it failed, and the container was ended."""
        self._hook_failed = ""
        hook = (self.spec.get("lifecycle") or {}).get("postStart")
        said = await ending.first(hooks.run(hook, self.pod, view), over) if hook else None
        if not said or self.pod.stopping.is_set():
            return True
        log.warning("%s: %s", self.pod.full_name, said)
        self._hook_failed = said
        self.pod.tell("FailedPostStartHook", "PostStartHook failed", container=self.name, warning=True)
        await self.kill(ending.countdown(self.pod, self._grace()), "FailedPostStartHook")
        return False

    def _watch(self, view: RunningContainer) -> None:
        """Running: show it, and let probes begin."""
        self.killed_for = ""
        self._show_run()
        self.state.state = Running(self._recorded().started_at)
        told = Callbacks(restart=self._restart_for, begun=self.up.set)
        self._monitor = Monitor(self.pod, self.spec, self.state, view, told)
        if self._plain_init:
            self.state.started = True
        else:
            self._monitor.start()
        if self._recorded().image != self.spec["image"]:  # changed while no agent was running
            self._redefined.set()
            self._replace()
        self.pod.changed()

    def _note_end(self, ended: Ended) -> None:
        if self._monitor:
            self._monitor.end()
        if self.run:
            self.run.kill()
        self.run = None
        record = self._recorded()
        record.exit_code, record.finished_at = ended.exit_code, ended.finished_at
        failed = "StartError" if ended.message else "Error"
        record.reason = record.reason or self.killed_for or ("Completed" if not ended.exit_code else failed)
        record.message = ended.message or self._history.last_words(record)
        record.save(self._history.folder(record.number))
        self._publish(None)
        self._show_run()
        self.state.state = terminated(record)
        self.state.ready = self._plain_init and ended.exit_code == 0
        self.state.started = False
        self.pod.changed()

    def _again(self, exit_code: int) -> bool:
        if self.pod.stopping.is_set() or (self._plain_init and exit_code == 0):
            return False
        if self._redefined.is_set():
            return True
        return should_restart(self.spec, self.pod.spec, exit_code)

    async def _back_off(self) -> None:
        """The kubelet's CrashLoopBackOff: none before the first restart."""
        if isinstance(self.state.state, Terminated):
            self.state.last = self.state.state
        if (
            self._redefined.is_set()
        ):  # shown as ended, it could never be shown as running, whatever its policy
            self._wait_with(Waiting("ContainerCreating"))
        if self._hook_failed:
            self._wait_with(Waiting("PostStartHookError", self._hook_failed))
        now = self.pod.machine.now()
        ago = (time.time() - self._recorded().finished_at) * self.pod.machine.config.clock
        wait = restart_delay(self._backoff, ended=now - ago, now=now)
        if wait > 0:
            said = f"back-off {span(self._backoff.delay)} restarting failed container={self.name}"
            self._wait_with(Waiting("CrashLoopBackOff", f"{said} pod={self.pod.full_name}"))
            text = f"Back-off restarting failed container {self.name} in pod {self.pod.full_name}"
            self.pod.tell("BackOff", text, container=self.name, warning=True)
            await self.pod.sleep(wait, but=self._redefined)
        self._backoff.fail(self.pod.machine.now())

    # Ending -------------------------------------------------------------------------------------------------

    def _restart_for(self, message: str, grace: float | None) -> None:
        """A probe has given up on this run."""
        self.pod.tell("Killing", message, container=self.name)
        seconds = self._grace() if grace is None else float(grace)
        self._restarting = asyncio.create_task(self.kill(ending.countdown(self.pod, seconds), ""))

    def _grace(self) -> float:
        return float(self.pod.spec.get("terminationGracePeriodSeconds", 30))

    async def stop(self, left: Left, turn: Sequence[asyncio.Event] = ()) -> None:
        """End it for good within `left()` real seconds, after others' `turn`. `pod.stopping` must be set."""
        if self._monitor:
            self._monitor.only_readiness()
        if self._task is None and self.run is None:
            self.over.set()
            return
        task = self.start()  # what an earlier agent left, too, of a pod that was deleted in the meantime
        while not self.over.is_set():
            if self.run is not None:
                await self.kill(left, f"Stopping container {self.name}", turn)
            await asyncio.wait({task}, timeout=0.05)

    async def kill(self, left: Left, message: str, turn: Sequence[asyncio.Event] = ()) -> None:
        """preStop, the stop signal, then SIGKILL for whatever still runs when `left()` reaches zero."""
        if self.run is None:
            return
        if message:
            self.pod.tell("Killing", message, container=self.name)
        if self._ending is None or self._ending.done():
            self._lefts = []
            self._ending = asyncio.create_task(self._end(self.run, turn))
        self._lefts.append(left)
        await asyncio.shield(self._ending)  # one hook and one signal, however often its end is requested

    async def _end(self, run: Run, turn: Sequence[asyncio.Event]) -> None:
        view = self.pod.view.containers[self.name]
        hook = (self.spec.get("lifecycle") or {}).get("preStop")
        manner = ending.Manner(
            hook, self._recorded().stop_signal, lambda: min(left() for left in self._lefts), turn
        )
        await ending.end(run, self.pod, view, manner)

    def keep_in_bounds(self) -> None:
        """Kill it where it holds more memory than its limit, or too many processes; keep its log short."""
        if self.run is None:
            return
        bounds.shorten(self.run.log)
        if self.memory_limit and self._memory(self.run) > self.memory_limit:
            self.run_out_of_memory()
        elif bounds.too_many(self.run.pid):
            said = (
                f"Container {self.name} has more than {bounds.MOST_PROCESSES} processes and was killed. "
                "Cause: it keeps starting processes. Fix: `kubectl logs --previous` shows what it did last."
            )
            self.pod.tell("TooManyProcesses", said, container=self.name, warning=True)
            self.run.kill()

    @property
    def memory(self) -> int:
        """Bytes that it holds now."""
        return self._memory(self.run) if self.run else 0

    def run_out_of_memory(self) -> None:
        """Kill it as the kernel does, for a limit of its own or of its pod."""
        if self.run is not None:
            self.killed_for = "OOMKilled"
            self.run.kill()

    def _memory(self, run: Run) -> int:
        """Bytes that count against its limit: its processes, and the volumes in memory that it mounts."""
        return processes.resident_with(run.pid, self.pod.volumes.in_memory(self.spec))

    # What is on disk ----------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Continue where an earlier agent stopped: the last run that is recorded, and the one before it."""
        before, record = self._history.latest()
        if record is None:
            return
        self.record = record
        self.state.last = terminated(before) if before else None
        if record.exit_code is None:
            folder, log_file = self._history.folder(record.number), self._history.log(record.number)
            self.run = container.adopt(folder, log_file, record.container_id)
        self.state.state = Running(record.started_at) if self.run else terminated(record)
        self._publish(self.run.pid if self.run else None)
        self._show_run()
        told = self._told()
        self.state.started, self.state.ready = bool(told.get("started")), bool(told.get("ready"))

    def _told(self) -> Json:
        """What the API knows of this container, from before the agent started."""
        status = self.pod.object.get("status", {})
        known = (*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ()))
        return next((c for c in known if c["name"] == self.name), {})

    def _found_ended(self) -> Ended | None:
        """How the run that was found on disk ended; None if it runs, or if there is none."""
        record = self.record
        if record is None or self.run is not None:
            return None
        if record.exit_code is not None:
            return Ended(record.exit_code, record.finished_at, record.message)
        return Ended(137, time.time(), "the node agent was killed while it started this container")

    @property
    def memory_limit(self) -> int:
        """In bytes; 0 for none."""
        return _memory_limit(self.spec.get("resources") or {})

    @property
    def succeeded(self) -> bool:
        """Whether it ended successfully."""
        return isinstance(self.state.state, Terminated) and self.state.state.exit_code == 0

    def _recorded(self) -> RunRecord:
        if self.record is None:
            raise AssertionError(f"container {self.name} has no run")
        return self.record

    def _failed_start(self, message: str) -> Ended:
        self.pod.tell("Failed", f"Error: {message}", container=self.name, warning=True)
        return Ended(128, time.time(), message)

    # What others see ----------------------------------------------------------------------------------------

    def _wait_with(self, waiting: Waiting) -> None:
        if isinstance(self.state.state, Terminated):
            self.state.last = self.state.state
        self.state.state = waiting
        self.tried.set()  # it waits after an error: the next container has its turn
        self.pod.changed()

    def _publish(self, pid: int | None) -> RunningContainer:
        """Bring the table of what runs up to date with the current run."""
        record = self._recorded()
        view = self._history.view(self.pod, record, pid)
        self.pod.view.containers[self.name] = view
        return view

    def _show_run(self) -> None:
        """Bring the status up to date with the current run."""
        record = self._recorded()
        self.state.image_id = record.image_id
        self.state.container_id = f"labkit://{record.container_id}"
        self.state.restart_count = record.number


def _memory_limit(resources: Json) -> int:
    return int(amount((resources.get("limits") or {}).get("memory", 0)))
