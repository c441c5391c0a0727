"""The probes of one running container, and what follows from them: started, ready, or a restart.

Also notices a server that ignores the port it was given, and says so once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labkit.node.life.executing import execute
from labkit.node.life.probes import Outcome, ProbeLoop, Target
from labkit.node.pod.context import PodContext
from labkit.node.pod.pods import RunningContainer
from labkit.node.pod.status import ContainerState
from labkit.node.process import processes

Json = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """Whom the monitor tells: that the container has to go (message, grace), that it is up."""

    restart: Callable[[str, float | None], None]
    begun: Callable[[], None]


class Monitor:
    """Runs the probes of one run."""

    def __init__(
        self,
        pod: PodContext,
        container: Json,
        state: ContainerState,
        view: RunningContainer,
        told: Told,
    ) -> None:
        self._pod = pod
        self._container = container
        self._state = state
        self._view = view
        self._told = told
        self._tasks: list[asyncio.Task[None]] = []
        self._said_port = False
        self._adopted_ready = state.ready  # an agent that comes back believes its predecessor

    def start(self) -> None:
        """Begin with the startup probe, or with the other two where there is none."""
        if (spec := self._container.get("startupProbe")) and not self._state.started:
            self._launch(spec, "Startup", passing=False, then=self._startup)
        else:
            self._begun()

    def _begun(self) -> None:
        self._state.started = True
        self._told.begun()
        self._state.ready = "readinessProbe" not in self._container or self._adopted_ready
        if spec := self._container.get("readinessProbe"):
            self._launch(spec, "Readiness", passing=self._state.ready, then=self._readiness)
        if spec := self._container.get("livenessProbe"):
            self._launch(spec, "Liveness", passing=True, then=self._liveness)
        self._pod.changed()

    def end(self) -> None:
        """No more probes; the container has ended."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self._state.ready = False
        self._state.started = False

    def only_readiness(self) -> None:
        """The pod is ending: nothing restarts its containers any more, but readiness is still told."""
        for task in self._tasks:
            if task.get_name() != "Readiness":
                task.cancel()

    def _launch(self, spec: Json, kind: str, *, passing: bool, then: Callable[[Json, Outcome], bool]) -> None:
        loop = ProbeLoop(spec, self._target(), passing=passing)

        def report(outcome: Outcome, reached: bool) -> bool:  # noqa: FBT001 - the signature is ProbeLoop's
            if not outcome.ok:
                said = f"{kind} probe failed: {outcome.message}"
                self._pod.tell("Unhealthy", said, container=self._container["name"], warning=True)
            if not reached:
                return False
            if not outcome.ok and kind != "Liveness":
                self._check_port()
            return then(spec, outcome)

        self._tasks.append(asyncio.create_task(loop.run(report), name=kind))

    def _startup(self, spec: Json, outcome: Outcome) -> bool:
        if outcome.ok:
            self._begun()
        else:
            said = f"Container {self._container['name']} failed startup probe, will be restarted"
            self._told.restart(said, spec.get("terminationGracePeriodSeconds"))
        return True

    def _liveness(self, spec: Json, outcome: Outcome) -> bool:
        if outcome.ok:
            return False
        said = f"Container {self._container['name']} failed liveness probe, will be restarted"
        self._told.restart(said, spec.get("terminationGracePeriodSeconds"))
        return True

    def _readiness(self, _spec: Json, outcome: Outcome) -> bool:
        if self._state.ready != outcome.ok:
            self._state.ready = outcome.ok
            self._pod.changed()
        return False

    def _target(self) -> Target:
        async def run(command: Any, seconds: float) -> tuple[int, str]:
            return await execute(self._view, command, seconds)

        return Target(
            pod_ip=self._pod.record.pod_ip,
            container=self._container,
            address=self._address,
            run=run,
            clock=self._pod.machine.config.clock,
        )

    def _address(self, port: int) -> tuple[str, int]:
        """Where a port of the pod really is; one that nobody declared is taken as it stands."""
        for taken in self._pod.record.ports.values():
            if str(port) in taken:
                host, _, number = taken[str(port)].rpartition(":")
                return host, int(number)
        return "127.0.0.1", port

    def _check_port(self) -> None:
        """A server that listens, but not where it was told to: the commonest mistake on this cluster."""
        given = {int(a.rpartition(":")[2]) for a in self._view.ports.values()}
        if self._said_port or not given or self._view.pid is None:
            return
        found = processes.listening(self._view.pid)
        if not found or found & given:
            return
        self._said_port = True
        name, port = self._container["name"], min(given)
        said = (
            f"Container {name} listens on port {', '.join(map(str, sorted(found)))} and ignores PORT={port}. "
            "Cause: on the embedded cluster all pods share one network, and each is told its own port. "
            'Fix: let the server listen on $PORT, for example args: ["--port", "$(PORT)"].'
        )
        self._pod.tell("PortIgnored", said, container=name, warning=True)
