"""The pods of the what-if model: they start, warm up, serve, drain and end, and hold a GPU throughout.

How many there should be is set from outside, as for a Deployment.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from course.hpa.readings import Pod, Reading, Sample
from course.hpa.replica import Replica, Request
from course.hpa.scenario import QUEUE, RUNNING, Scenario


@dataclass(slots=True, eq=False)
class SimPod:
    """One pod: when its process `runs`, when it `serves` (and answers /metrics), when it is `ready`."""

    name: str
    created: float
    runs: float
    serves: float
    ready: float
    offset: float
    replica: Replica
    leaving: float = math.inf
    gone: float = math.inf
    sample: dict[str, int] = field(default_factory=dict)


class Fleet:
    """All pods of one Deployment, including those that are gone."""

    def __init__(self, scenario: Scenario, rng: random.Random) -> None:
        self._scenario = scenario
        self._rng = rng
        self.pods: list[SimPod] = []
        self.alive: list[SimPod] = []
        for _ in range(scenario.start):
            self._add(SimPod("", 0.0, 0.0, 0.0, 0.0, 0.0, Replica(scenario.server)))

    def resize(self, wanted: int, at: float) -> list[SimPod]:
        """Add or remove pods; return the new ones."""
        staying = [pod for pod in self.alive if pod.leaving == math.inf]
        for pod in self._victims(staying, len(staying) - wanted):
            pod.leaving = at
            self._let_go(pod, at)
        return [self._start(at) for _ in range(wanted - len(staying))]

    def take(self, request: Request, at: float) -> SimPod | None:
        """Give a request to a random ready pod, as kube-proxy does; None if there is none."""
        ready = self.ready(at)
        if not ready:
            return None
        pod = self._rng.choice(ready)
        pod.replica.submit(request, at)
        return pod

    def ready(self, at: float) -> list[SimPod]:
        """The pods that requests are sent to."""
        late = min(self._scenario.delays.goodbye, 1.0)
        return [pod for pod in self.alive if pod.ready <= at < pod.leaving + late]

    def finish(self, pod: SimPod) -> None:
        """End a pod's current steps."""
        end = pod.replica.until
        pod.replica.finish()
        if pod.leaving < math.inf:
            self._let_go(pod, end)

    def scrape(self, pod: SimPod) -> None:
        """Prometheus scrapes one pod."""
        replica = pod.replica
        idle, busy, each, _ = self._scenario.host_cpu
        running = len(replica.running)
        pod.sample = {
            QUEUE: 1000 * len(replica.waiting),
            RUNNING: 1000 * running,
            "cpu": round(1000 * (busy + each * running if running else idle)),
        }

    def seen(self, at: float) -> Iterator[Pod]:
        """The pods as in the cache of the HPA's controller."""
        requests = {"cpu": round(1000 * self._scenario.host_cpu[3])}
        for pod in self.alive:
            yield Pod(
                name=pod.name,
                phase="Running" if pod.runs <= at else "Pending",
                leaving=pod.leaving <= at,
                ready="True" if pod.ready <= at else "False",
                started=pod.runs if pod.runs <= at else None,
                changed=min(pod.ready, at),
                requests=requests,
            )

    def reading(self, metric: str, at: float) -> Reading:
        """One metric over all pods that were scraped."""
        samples = {p.name: Sample(p.sample[metric], at) for p in self.alive if p.sample}
        return Reading(samples)

    def gpu_seconds(self, until: float) -> float:
        """How long GPUs were held, from creation to the end of the process."""
        return sum(min(pod.gone, until) - pod.created for pod in self.pods)

    def _start(self, at: float) -> SimPod:
        delays = self._scenario.delays
        runs = self._gpu_free(at) + delays.creation
        serves = runs + delays.cold_start
        ready = serves + self._rng.uniform(0, delays.probe)
        offset = self._rng.uniform(0, delays.scrape)
        return self._add(SimPod("", at, runs, serves, ready, offset, Replica(self._scenario.server)))

    def _gpu_free(self, at: float) -> float:
        """When a GPU is available for one more pod: now, or once a terminating pod is gone."""
        short = len(self.alive) + 1 - self._scenario.gpus
        ends = sorted(pod.gone for pod in self.alive if pod.gone < math.inf)
        return at if short <= 0 else ends[short - 1] if short <= len(ends) else math.inf

    def _add(self, pod: SimPod) -> SimPod:
        pod.name = f"pod-{len(self.pods)}"
        self.pods.append(pod)
        self.alive.append(pod)
        return pod

    def _victims(self, staying: list[SimPod], count: int) -> list[SimPod]:
        """The pods to delete: as a ReplicaSet does, first those that are not ready, then the youngest."""
        order = sorted(staying, key=lambda pod: (pod.ready, pod.created), reverse=True)
        return order[: max(0, count)]

    def _let_go(self, pod: SimPod, at: float) -> None:
        """Let terminating pods go once they are idle and their preStop hook is over."""
        if pod.replica.empty:
            pod.gone = max(at, pod.leaving + self._scenario.delays.goodbye)
            self.alive.remove(pod)
