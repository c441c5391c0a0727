"""How fast pods get a node: for each one, when it was created, bound to a node, and running.

Times are real seconds since the recording began, whatever CLOCK says: the scheduler is the real one, and
nothing speeds it up. A pod that was not seen being bound is not in the curve.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event
from typing import Self

from labkit.errors import BadInput, ClusterError
from labkit.evidence.curves import Curves
from labkit.kube.client import Kube, Which
from localcluster.api.objects import KubeObject
from localcluster.background import Background

CREATED, BOUND, RUNNING = "created", "bound", "running"
STAGES = (CREATED, BOUND, RUNNING)
PATIENCE = 300.0
"""Real seconds after which a recording ends by itself."""


@dataclass(frozen=True)
class Pace:
    """When pods were created, bound and running: one rising list of real seconds for each."""

    created: tuple[float, ...]
    bound: tuple[float, ...]
    running: tuple[float, ...]

    def __repr__(self) -> str:
        each = ", ".join(f"{len(self.times(stage))} {stage}" for stage in STAGES)
        return f"<pace: {each}; all bound after {self.seconds:.1f} s, {self.rate:.0f} pods/s>"

    def times(self, stage: str) -> tuple[float, ...]:
        """The moments of a stage (`created`, `bound`, `running`), rising."""
        if stage not in STAGES:
            raise BadInput(f"There is no stage {stage!r}.", fix=f"Stages: {', '.join(STAGES)}.")
        return {CREATED: self.created, BOUND: self.bound, RUNNING: self.running}[stage]

    @property
    def seconds(self) -> float:
        """Seconds from the first pod created to the last one bound."""
        return self.bound[-1] - self.created[0] if self.created and self.bound else 0.0

    @property
    def rate(self) -> float:
        """Pods bound per second, on average."""
        return len(self.bound) / self.seconds if self.seconds > 0 else 0.0

    def curves(self) -> Curves:
        """How many pods had reached each stage by each moment: what `lab.plot` draws."""
        points = {stage: [(t, i + 1.0) for i, t in enumerate(self.times(stage))] for stage in STAGES}
        return Curves(points, x="real seconds", y="pods so far")

    def queues(self) -> dict[str, int]:
        """The longest queue in front of the scheduler, and in front of the kubelets."""
        return {
            "scheduler": _longest(self.created, self.bound),
            "kubelet": _longest(self.bound, self.running),
        }


class Pacing:
    """Watches the pods matching a selector, in a thread of its own, until `stop`."""

    def __init__(self, kube: Kube, *, selector: str) -> None:
        self._kube = kube
        self._selector = selector
        self._seen: dict[str, dict[str, float]] = {stage: {} for stage in STAGES}
        self._began = time.time()
        self._background = Background(self._follow, name="pace")

    def __repr__(self) -> str:
        return f"<watching {self._selector}, {len(self._seen[BOUND])} pods bound>"

    def start(self) -> Self:
        """Begin; second 0 is now."""
        self._began = time.time()
        self._background.start()
        return self

    def stop(self) -> Pace:
        """Stop; safe to repeat. The connection closes at the next change or when it times out."""
        self._background.over.set()
        return Pace(*(tuple(sorted(self._seen[stage].values())) for stage in STAGES))

    def _follow(self, over: Event) -> None:
        which = Which(self._selector)
        with contextlib.suppress(ClusterError):  # the API server is gone: keep what was recorded
            for change in self._kube.watch("pods", seconds=PATIENCE, which=which):
                if over.is_set():
                    return
                self._note(change.obj, change.at - self._began)

    def _note(self, pod: KubeObject, at: float) -> None:
        uid = pod.at("metadata.uid")
        reached = (True, pod.at("spec.nodeName"), pod.at("status.phase") == "Running")
        for stage, there in zip(STAGES, reached, strict=True):
            if there:
                self._seen[stage].setdefault(uid, at)


def _longest(came: Sequence[float], went: Sequence[float]) -> int:
    """The largest number at any moment that had arrived and not left yet."""
    steps = sorted([(t, 1) for t in came] + [(t, -1) for t in went])
    longest = now = 0
    for _, step in steps:
        now += step
        longest = max(longest, now)
    return longest
