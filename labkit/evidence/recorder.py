"""Watches a Deployment and its HPA in a thread of its own, and makes a `Timeline` of what it saw.

It looks a few times per real second, so a step is known to within a few lab seconds. A failed look leaves a
gap and is counted; gaps are not filled in.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Event as Over
from typing import Self

from labkit.errors import ClusterError
from labkit.evidence.quantity import average_of, utilization_of
from labkit.evidence.timeline import Event, Timeline
from labkit.kube.client import Kube
from labkit.metrics.series import Series
from localcluster.api.objects import KubeObject
from localcluster.background import Background, every

EVERY = 0.25  # real seconds between two looks


@dataclass(frozen=True)
class Look:
    """What was there at one moment (Unix time); None for a missing object or number."""

    at: float
    desired: float | None
    ready: float | None
    gpus: float | None
    average: float | None
    cpu: float | None
    minimum: float | None


class Recorder:
    """Records from `start` to `stop`; `mark` notes the moment of an event."""

    def __init__(self, kube: Kube, *, deployment: str, hpa: str, stamp: str) -> None:
        self._kube = kube
        self._names = (f"deployment/{deployment}", f"hpa/{hpa}")
        self._clock = kube.clock
        self._stamp = stamp
        self._looks: list[Look] = []
        self._events: list[Event] = []
        self._background = Background(self._follow, name="recorder")
        self.gaps = 0
        self.started = 0.0
        self.ended = 0.0

    def start(self) -> Self:
        """Start; lab time 0 is now, so the state before the run is recorded, too."""
        self.started = time.time()
        self._note()
        self._background.start()
        return self

    def mark(self, text: str) -> None:
        """Label this moment; plots show it as a line."""
        self._events.append(Event((time.time() - self.started) * self._clock, text))

    def stop(self) -> None:
        """Stop recording; safe to repeat."""
        if not self.ended:
            self._background.stop()
            self.ended = time.time()

    def now(self) -> float:
        """Lab seconds since the start."""
        return ((self.ended or time.time()) - self.started) * self._clock

    def timeline(self) -> Timeline:
        """What was seen up to now."""
        series = (
            Series("desired", "replicas", self._points("desired")),
            Series("ready", "replicas", self._points("ready")),
            Series("gpus", "GPUs", self._points("gpus"), "GPUs held, also by starting and terminating pods"),
            Series("queue average", "requests per pod", self._points("average")),
            Series("cpu", "% of the request", self._points("cpu"), "CPU, as the HPA saw it"),
            Series("minimum", "replicas", self._points("minimum"), "minReplicas of the HPA"),
        )
        return Timeline(self._clock, self._stamp, series, tuple(self._events), began=self.started)

    def _points(self, field: str) -> tuple[tuple[float, float], ...]:
        seen = [(look.at, getattr(look, field)) for look in list(self._looks)]
        return tuple(((at - self.started) * self._clock, value) for at, value in seen if value is not None)

    def _follow(self, over: Over) -> None:
        every(EVERY, self._note)(over)
        self._note()  # the final state

    def _note(self) -> None:
        try:
            self._looks.append(self._look())
        except ClusterError:
            self.gaps += 1

    def _look(self) -> Look:
        deployment, hpa = (self._kube.find(name) for name in self._names)
        at = time.time()
        desired = deployment.at("spec.replicas") if deployment else None
        ready = (deployment.at("status.readyReplicas") or 0) if deployment else None
        gpus = held(deployment) if deployment else None
        minimum = hpa.at("spec.minReplicas") if hpa else None
        return Look(at, desired, ready, gpus, average_of(hpa), utilization_of(hpa), minimum)


def held(deployment: KubeObject) -> int:
    """How many pods hold a GPU (one each): pods that are starting, serving or draining."""
    counts = [deployment.at(f"status.{name}") or 0 for name in ("replicas", "terminatingReplicas")]
    return sum(int(count) for count in counts)
