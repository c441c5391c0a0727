"""The life of one container: image, start, probes, end, back-off, and again as its restart policy says.

It acts on one container and reports into its `ContainerState`; when the pod starts and ends is its worker's
to decide. What it starts is recorded before anybody is told, so that a killed agent's successor finds it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

from labkit.errors import ClusterError
from labkit.node.life import blueprint, ending, hooks
from labkit.node.life.acquiring import Acquisition
from labkit.node.life.backoff import BackOff, restart_delay
from labkit.node.life.blueprint import Blueprint
from labkit.node.life.ending import Left
from labkit.node.life.history import History, terminated
from labkit.node.life.monitor import Monitor, Told
from labkit.node.pod.context import PodContext, Stopped
from labkit.node.pod.pods import RunningContainer
from labkit.node.pod.records import RunRecord
from labkit.node.pod.status import ContainerState, Running, Terminated, Waiting, is_sidecar
from labkit.node.process import bounds, container, processes, unboxed
from labkit.node.process.container import Ended, Run, StartFailure
from labkit.node.process.environment import ConfigError
from labkit.node.quantities import amount

Json = dict[str, Any]

log = logging.getLogger(__name__)

_CONFIG_RETRY = 10.0  # lab seconds; the kubelet's next round


class ContainerLoop:
    """One container of one pod, over all of its runs."""

    def __init__(self, pod: PodContext, spec: Json, *, init: bool) -> None:
        self.pod = pod
        self.spec = spec
        self.init = init
        self.name = str(spec["name"])
        first = "PodInitializing" if pod.spec.get("initContainers") and not init else "ContainerCreating"
        if init:
            first = "PodInitializing"
        resources = spec.get("resources") or {}
        self.state = ContainerState(self.name, spec["image"], Waiting(first), resources=resources)
        self.run: Run | None = None
        self.record: RunRecord | None = None
        self.over = asyncio.Event()  # ended, and will not run again
        self.up = asyncio.Event()  # has started (and passed its startup probe, for sidecars)
        self.killed_for = ""  # a reason that outranks the exit code: OOMKilled
        self._task: asyncio.Task[None] | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._acquisition = Acquisition(pod, spec, self._wait_with)
        self._backoff = BackOff()
        self._history = History(pod.folder / self.name, spec)
        self._monitor: Monitor | None = None

    @property
    def policy(self) -> str:
        """When it runs again: Always, OnFailure or Never."""
        if is_sidecar(self.spec):
            return "Always"
        policy = str(self.pod.spec.get("restartPolicy", "Always"))
        return "OnFailure" if self.init and policy == "Always" else policy

    def start(self) -> None:
        """Begin, or take over what an earlier agent left."""
        if self._task is None:
            self._task = asyncio.create_task(self._live(), name=f"{self.pod.full_name}/{self.name}")
            self._task.add_done_callback(self._report)

    def _report(self, task: asyncio.Task[None]) -> None:
        """A defect of the agent itself must not look like a container that waits."""
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
                if not self._again(ended.exit_code):
                    return
                await self._back_off()
                ended = None
        except Stopped:
            pass  # it was not running: there is nothing to end
        finally:
            self.over.set()
            self.pod.changed()

    # One run ------------------------------------------------------------------------------------------------

    async def _one_run(self) -> Ended:
        if self.run is None:
            try:
                await self._bring_up()
            except StartFailure as failure:
                return self._failed_start(str(failure))
        run = self.run
        if run is None:
            raise AssertionError("a container that was brought up runs")
        self._watch(run)
        return await run.wait()

    async def _bring_up(self) -> None:
        while True:
            number = self.record.number + 1 if self.record else 0
            folder = self._history.folder(number)
            try:
                image = await self._acquisition.image()
                plan = await blueprint.draw(self.pod, self.spec, image, folder)
                if self.pod.stopping.is_set():
                    raise Stopped
                await self._start(plan, number, folder)
            except ConfigError as error:
                await self._try_later("CreateContainerConfigError", str(error))
            except (OSError, ClusterError) as error:  # a full disk, an API server that is away
                await self._try_later("CreateContainerError", str(error))
            else:
                return

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
        await asyncio.to_thread(self._history.forget, before=number - 1)
        self.pod.tell("Created", "Container created", container=self.name)
        self._publish(None)
        machine = self.pod.machine
        if not machine.isolated:
            self.pod.tell("NoIsolation", unboxed.WARNING, container=self.name, warning=True)
        start = container.start if machine.isolated else unboxed.start
        self.run = await start(
            plan.box, folder=folder, log=self._history.log(number), lab_dir=machine.lab_dir
        )
        self.pod.tell("Started", "Container started", container=self.name)

    def _watch(self, run: Run) -> None:
        """Running: show it, and let probes and the postStart hook begin."""
        record = self._recorded()
        self.killed_for = ""
        self.state.state = Running(record.started_at)
        view = self._publish(run.pid)
        told = Told(restart=self._restart_for, begun=self.up.set)
        self._monitor = Monitor(self.pod, self.spec, self.state, view, told)
        if not self.init or is_sidecar(self.spec):
            self._monitor.start()
        else:
            self.state.started = True
        if hook := (self.spec.get("lifecycle") or {}).get("postStart"):
            self._restarting = asyncio.create_task(self._post_start(hook, view))
        self.pod.changed()

    async def _post_start(self, hook: Json, view: RunningContainer) -> None:
        said = await hooks.run(hook, self.pod, view)
        if said:
            self.pod.tell("FailedPostStartHook", said, container=self.name, warning=True)
            await self.kill(ending.countdown(self.pod, self._grace()), "FailedPostStartHook")

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
        self.state.state = terminated(record)
        self.state.ready = self.init and ended.exit_code == 0 and not is_sidecar(self.spec)
        self.state.started = False
        self.pod.changed()

    def _again(self, exit_code: int) -> bool:
        if self.pod.stopping.is_set() or self.policy == "Never":
            return False
        return self.policy == "Always" or exit_code != 0

    async def _back_off(self) -> None:
        """The kubelet's CrashLoopBackOff: none before the first restart."""
        ended = self.state.state
        if not isinstance(ended, Terminated):
            return
        self.state.last = ended
        now = self.pod.machine.now()
        ago = (time.time() - ended.finished_at) * self.pod.machine.config.clock
        wait = restart_delay(self._backoff, ended=now - ago, now=now)
        if wait > 0:
            said = f"back-off {_span(self._backoff.delay)} restarting failed container={self.name}"
            self._wait_with(Waiting("CrashLoopBackOff", f"{said} pod={self.pod.full_name}"))
            text = f"Back-off restarting failed container {self.name} in pod {self.pod.full_name}"
            self.pod.tell("BackOff", text, container=self.name, warning=True)
            await self.pod.sleep(wait)
        self._backoff.fail(self.pod.machine.now())

    # Ending -------------------------------------------------------------------------------------------------

    def _restart_for(self, message: str, grace: float | None) -> None:
        """A probe has given up on this run."""
        self.pod.tell("Killing", message, container=self.name)
        seconds = self._grace() if grace is None else float(grace)
        self._restarting = asyncio.create_task(self.kill(ending.countdown(self.pod, seconds), ""))

    def _grace(self) -> float:
        return float(self.pod.spec.get("terminationGracePeriodSeconds", 30))

    async def stop(self, left: Left) -> None:
        """End it for good within `left()` real seconds. `pod.stopping` must be set."""
        if self._monitor:
            self._monitor.only_readiness()
        if self._task is None:
            self.over.set()
            return
        while not self.over.is_set():
            if self.run is not None:
                await self.kill(left, f"Stopping container {self.name}")
            await asyncio.wait({self._task}, timeout=0.05)

    async def kill(self, left: Left, message: str) -> None:
        """preStop, the stop signal, and SIGKILL for what there still is when nothing is `left()`."""
        if self.run is None:
            return
        if message:
            self.pod.tell("Killing", message, container=self.name)
        view = self.pod.view.containers[self.name]
        hook = (self.spec.get("lifecycle") or {}).get("preStop")
        await ending.end(self.run, self.pod, view, ending.Manner(hook, self._recorded().stop_signal, left))

    def keep_in_bounds(self) -> None:
        """Kill it where it holds more memory than its limit, or too many processes; keep its log short."""
        if self.run is None:
            return
        bounds.shorten(self.run.log)
        if self.memory_limit and processes.resident(self.run.pid) > self.memory_limit:
            self.killed_for = "OOMKilled"
            self.run.kill()
        elif bounds.too_many(self.run.pid):
            said = (
                f"Container {self.name} has more than {bounds.MOST_PROCESSES} processes and is killed. "
                "Cause: it starts them without end. Fix: `kubectl logs --previous` shows what it did last."
            )
            self.pod.tell("TooManyProcesses", said, container=self.name, warning=True)
            self.run.kill()

    # What is on disk ----------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Go on where an earlier agent stopped: the last run that is recorded, and the one before it."""
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
        told = self._told()
        self.state.started, self.state.ready = bool(told.get("started")), bool(told.get("ready"))

    def _told(self) -> Json:
        """What the API knows of this container, from before the agent started."""
        status = self.pod.object.get("status", {})
        known = (*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ()))
        return next((c for c in known if c["name"] == self.name), {})

    def _found_ended(self) -> Ended | None:
        """How the run that was found on disk ended; None where it runs, or where there is none."""
        record = self.record
        if record is None or self.run is not None:
            return None
        if record.exit_code is not None:
            return Ended(record.exit_code, record.finished_at, record.message)
        return Ended(137, time.time(), "the node agent was killed while it started this container")

    @property
    def memory_limit(self) -> int:
        """In bytes; 0 for none."""
        limits = (self.spec.get("resources") or {}).get("limits") or {}
        return int(amount(limits.get("memory", 0)))

    @property
    def succeeded(self) -> bool:
        """Whether it is over and all went well."""
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
        self.pod.changed()

    def _publish(self, pid: int | None) -> RunningContainer:
        """Bring status and the table of what runs up to date with the current run."""
        record = self._recorded()
        self.state.image_id = record.image_id
        self.state.container_id = f"labkit://{record.container_id}"
        self.state.restart_count = record.number
        view = self._history.view(self.pod, record, pid)
        self.pod.view.containers[self.name] = view
        return view


def _span(seconds: float) -> str:
    """As Go writes a duration: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
