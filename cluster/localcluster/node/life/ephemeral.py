"""Ephemeral containers, `kubectl debug`: added to a running pod, run once, and never delaying its end.

With a target one shares the target's processes: bubblewrap joins its pid namespace. A process can do so only
in the target's user namespace, which has one user: so the container runs as the target's user. Without a
target it sees its own processes only, as on any node (unless the pod shares them).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from localcluster.api import Json
from localcluster.images.rootfs import RunnableImage
from localcluster.node.life import blueprint
from localcluster.node.life.blueprint import Blueprint
from localcluster.node.life.lifecycle import ContainerLoop
from localcluster.node.pod.context import PodContext
from localcluster.node.pod.pods import RunningContainer
from localcluster.node.pod.status import Running, Waiting
from localcluster.node.process.environment import ConfigError


class EphemeralLoop(ContainerLoop):
    """The one run of an ephemeral container: no probes, no hooks, no restart."""

    _together = False

    def __init__(self, pod: PodContext, spec: Json) -> None:
        super().__init__(pod, spec, init=False)
        self.state.state = Waiting("ContainerCreating")

    def _again(self, exit_code: int) -> bool:
        """It is never restarted, whatever the pod's policy."""
        del exit_code
        return False

    def _watch(self, view: RunningContainer) -> None:
        del view
        self._show_run()
        self.state.state = Running(self._recorded().started_at)
        self.pod.changed()

    async def _draw(self, image: RunnableImage, folder: Path) -> Blueprint:
        plan = await super()._draw(image, folder)
        target = self.spec.get("targetContainerName")
        if not target or not self.pod.machine.isolated:
            return plan
        view = self.pod.view.containers.get(target)
        if view is None or view.pid is None:
            raise ConfigError(f'container "{target}", the target, is not running')
        try:
            return replace(plan, box=blueprint.beside(self.pod, self.spec, plan.box, view.pid))
        except OSError as error:
            raise ConfigError(f'container "{target}", the target, has just ended') from error


class EphemeralContainers:
    """All of one pod, in the order in which they were added."""

    def __init__(self, pod: PodContext) -> None:
        self._pod = pod
        self._begun = False
        self.loops: list[EphemeralLoop] = []
        self.look()

    def begin(self) -> None:
        """The pod has its volumes and its address: from now on they start when added."""
        self._begun = True
        self.look()

    def look(self) -> None:
        """Start those in the pod's object that are not started yet."""
        known = {loop.name for loop in self.loops}
        for spec in self._pod.spec.get("ephemeralContainers", ()):
            if spec["name"] not in known:
                self.loops.append(EphemeralLoop(self._pod, spec))
        for loop in self.loops if self._begun and not self._pod.stopping.is_set() else ():
            loop.start()
