"""An inference gateway in the what-if model: its picker looks at the servers, chooses, and may hold back.

As the endpoint picker of the Gateway API's inference extension does it: it looks at the servers now and then,
decides by what it saw last, and so may send a herd to one server. Left out on purpose: the KV cache, and
requests that are given up (TTL, 429).
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from course.hpa.fleet import Fleet, SimPod
from course.hpa.gateway import Gateway
from course.hpa.replica import Request


@dataclass
class Picker:
    """The picker of one play: whom it holds, and what it saw when it last looked."""

    gateway: Gateway
    fleet: Fleet
    rng: random.Random
    held: deque[Request] = field(default_factory=deque)
    seen: dict[SimPod, tuple[int, int]] = field(default_factory=dict)
    next: float = 0.0

    def look(self, at: float) -> None:
        """See each ready server's queue and batch, if it is time; called before all that happens."""
        if at >= self.next:
            found = self.fleet.ready(at)
            self.seen = {pod: (len(pod.replica.waiting), len(pod.replica.running)) for pod in found}
            self.next = (math.floor(at / self.gateway.look) + 1) * self.gateway.look

    @property
    def holds(self) -> bool:
        """Whether requests may wait here."""
        return self.gateway.depth is not None

    def sees(self, at: float) -> bool:
        """Whether it knows a server to send to."""
        return bool(self._known(at))

    def send(self, at: float) -> Iterator[SimPod]:
        """Send what is held, in order, until the servers count as full; yields each server that got one."""
        among = self._known(at)
        if not among or self._full(among):
            return
        while self.held:
            pod = self._best(among)
            pod.replica.submit(self.held.popleft(), at)
            yield pod

    def _known(self, at: float) -> list[SimPod]:
        return [pod for pod in self.fleet.ready(at) if pod in self.seen]

    def _full(self, among: Sequence[SimPod]) -> bool:
        """The valve is shut from a saturation of 1 on: the mean of queue / threshold, without a cap."""
        depth = self.gateway.depth
        return depth is not None and sum(self.seen[pod][0] / depth for pod in among) >= len(among)

    def _best(self, among: Sequence[SimPod]) -> SimPod:
        """The highest weighted score, each figure from 0 (the most of all servers) to 1 (the least)."""
        scores = dict.fromkeys(among, 0.0)
        for which, weight in enumerate(self.gateway.weights):
            figures = {pod: self.seen[pod][which] for pod in among}
            least, most = min(figures.values()), max(figures.values())
            for pod, figure in figures.items():
                scores[pod] += weight * ((most - figure) / (most - least) if most > least else 1.0)
        top = max(scores.values())
        return self.rng.choice([pod for pod, score in scores.items() if score == top])
