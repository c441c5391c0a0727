"""The probes of one running container, and what follows from them: started, ready, or a restart.

Also warns once about a server that ignores the port it was given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localcluster.api import Json
from localcluster.node.life.executing import execute
from localcluster.node.life.probes import Outcome, ProbeLoop, Target
from localcluster.node.pod.context import PodContext
from localcluster.node.pod.pods import RunningContainer
from localcluster.node.pod.restarts import is_restarted
from localcluster.node.pod.status import ContainerState
from localcluster.node.process import processes


@dataclass(frozen=True)
class Callbacks:
    """What the monitor calls: when the container must be ended (message, grace), when it is up."""

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
        callbacks: Callbacks,
    ) -> None:
        self._pod = pod
        self._container = container
        self._state = state
        self._view = view
        self._callbacks = callbacks
        self._tasks: list[asyncio.Task[None]] = []
        self._said_port = False
        self._adopted_ready = state.ready  # a restarted agent trusts its predecessor

    def start(self) -> None:
        """Begin with the startup probe, or with the other two where there is none."""
        if (spec := self._container.get("startupProbe")) and not self._state.started:
            self._launch(spec, "Startup", passing=False, then=self._startup)
        else:
            self._begun()

    def _begun(self) -> None:
        self._state.started = True
        self._callbacks.begun()
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
        """The pod is ending: its containers are not restarted any more, but readiness is still reported."""
        for task in self._tasks:
            if task.get_name() != "Readiness":
                task.cancel()

    def _launch(self, spec: Json, kind: str, *, passing: bool, then: Callable[[Json, Outcome], bool]) -> None:
        loop = ProbeLoop(spec, self._target(), passing=passing)

        def report(outcome: Outcome, reached: bool) -> bool:  # noqa: FBT001 - the signature is ProbeLoop's
            self._tell(kind, outcome)
            if not reached:
                return False
            if not outcome.ok and kind != "Liveness":
                self._check_port()
            return then(spec, outcome)

        self._tasks.append(asyncio.create_task(loop.run(report), name=kind))

    def _tell(self, kind: str, outcome: Outcome) -> None:
        how, reason = "failed", "Unhealthy"
        if outcome.errored:
            how = f"errored and resulted in {outcome.errored} state"
        elif outcome.warning:
            how, reason = "warning", "ProbeWarning"
        elif outcome.ok:
            return
        said = f"{kind} probe {how}: {outcome.message}"
        self._pod.tell(reason, said, container=self._container["name"], warning=True)

    def _startup(self, spec: Json, outcome: Outcome) -> bool:
        if outcome.ok:
            self._begun()
        else:
            self._callbacks.restart(self._failed("startup"), spec.get("terminationGracePeriodSeconds"))
        return True

    def _liveness(self, spec: Json, outcome: Outcome) -> bool:
        if outcome.ok:
            return False
        self._callbacks.restart(self._failed("liveness"), spec.get("terminationGracePeriodSeconds"))
        return True

    def _failed(self, probe: str) -> str:
        name = self._container["name"]
        if self._container in self._pod.spec.get("initContainers", ()):
            return f"Init container {name} failed {probe} probe"
        again = ", will be restarted" if is_restarted(self._container, self._pod.spec) else ""
        return f"Container {name} failed {probe} probe{again}"

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
            dial=self._pod.machine.network.where,
            run=run,
            clock=self._pod.machine.config.clock,
        )

    def _check_port(self) -> None:
        """A server that does not listen on its port: where pods share a network, the most common mistake."""
        given = {int(a.rpartition(":")[2]) for a in self._view.ports.values()}
        own = self._pod.machine.network.own
        if own or self._said_port or not given or self._view.pid is None:
            return
        found = processes.listening(self._view.pid)
        if not found or found & given:
            return
        self._said_port = True
        name, port = self._container["name"], min(given)
        said = (
            f"Container {name} listens on port {', '.join(map(str, sorted(found)))} and ignores PORT={port}. "
            "Cause: without isolation all pods share one network, and each is given its own port. "
            'Fix: let the server listen on $PORT, for example args: ["--port", "$(PORT)"].'
        )
        self._pod.tell("PortIgnored", said, container=name, warning=True)
