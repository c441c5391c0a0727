"""The floor: no autoscaler keeps a promise for fewer GPU-seconds, even if it knows the future.

>>> lower_bound(scenario, ttft=10, share=0.95)                             # doctest: +SKIP
<floor: no autoscaler keeps 95% within 10 s for less than 1,430 GPU-seconds>

It is a lower bound, not a plan: no policy spends less, but perhaps none gets down to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from course.hpa.cheapest import Work, cheapest
from course.hpa.demand import Demand, longest_step, of_sequences, of_steps
from course.hpa.scenario import Scenario
from labkit.errors import BadInput

SLOT, UNITS = 2.0, 4
"""Lab seconds of a slot, at most; and the units of work that a replica does in a slot."""

NEVER_MIND = 1e-9  # rounding errors, as a share of a unit


@dataclass(frozen=True, repr=False)
class Floor:
    """No autoscaler serves `share` of the requests within `ttft` s for fewer `gpu_seconds` (lab time)."""

    gpu_seconds: float
    ttft: float
    share: float

    def __repr__(self) -> str:
        return f"<floor: {self}>"

    def __str__(self) -> str:
        promise = f"no autoscaler keeps {self.share:.0%} within {self.ttft:g} s"
        if math.isinf(self.gpu_seconds):
            return f"{promise} on these GPUs"
        return f"{promise} for less than {self.gpu_seconds:,.0f} GPU-seconds"

    def compare(self, gpu_seconds: float, attainment: float) -> str:
        """What a run spent as a multiple of the floor, and whether it kept the promise (share from 0 to 1).

        >>> Floor(1000, ttft=10, share=0.95).compare(1400, 0.97)
        'yours: 1.4 × the floor (no autoscaler keeps 95% within 10 s for less than 1,000 GPU-seconds)'
        """
        if math.isinf(self.gpu_seconds) or not self.gpu_seconds:
            return str(self)
        kept = "" if attainment >= self.share else f", but only {attainment:.0%} in time"
        return f"yours: {gpu_seconds / self.gpu_seconds:.1f} × the floor{kept} ({self})"


def lower_bound(scenario: Scenario, *, ttft: float, share: float) -> Floor:
    """The least that any autoscaler spends on a scenario's load if `share` of it is served within `ttft` s.

    The scenario's policy and seed don't matter. No policy goes below, because the bound is the optimum of
    a problem in which everything is at least as easy as in the what-if model:

    - The fleet starts with any number of ready replicas. Later ones cost `creation` and `cold_start` before
      they are ready, and there are never more than GPUs. Waiting for a GPU, a probe or a `preStop` is free.
    - Each request takes only what it takes at the very least (`demand`), the first part of it between
      its arrival and its promised first token, the rest as late as the engine may finish it. Any replica may
      work on any request, in any order. A request whose promise is broken takes nothing.
    - The future is known: a dynamic programme finds the cheapest fleet for that (`cheapest`).

    Raises `BadInput` for a share outside 0 to 1, and if a start takes less than a second.
    """
    if not 0 <= share <= 1:
        raise BadInput(f"{share} is not a share of the requests.", fix="A number from 0 to 1, such as 0.95.")
    broken = math.floor(len(scenario.requests.times) * (1 - share) + NEVER_MIND)
    works = (_work(scenario, ttft, demands) for demands in _demands(scenario))
    return Floor(max(cheapest(work, broken=broken) for work in works), ttft, share)


def _demands(scenario: Scenario) -> Iterator[list[Demand]]:
    """What each request takes of the sequences, and what it takes of the steps."""
    server, sizes = scenario.server, scenario.requests.sizes
    longest = longest_step(server, sizes)
    sequences = {size: of_sequences(server, size) for size in set(sizes)}
    steps = {size: of_steps(server, size, longest=longest) for size in set(sizes)}
    yield [sequences[size] for size in sizes]
    yield [steps[size] for size in sizes]


def _work(scenario: Scenario, ttft: float, demands: Sequence[Demand]) -> Work:
    """The demands of all requests as work that arrives and is due, slot by slot."""
    delays, end = scenario.delays, scenario.requests.seconds + scenario.drain
    start = delays.creation + delays.cold_start
    if start < 1:
        raise BadInput(f"A start of {start:g} s is too short for a floor.", fix="At least one second.")
    slots = max(1, math.ceil(end / min(SLOT, start / 2)))
    ends = np.arange(1, slots + 1) * (end / slots)
    unit = ends[0] / UNITS
    arrived, due = np.zeros(slots), np.zeros(slots)
    requests: list[list[int]] = [[] for _ in range(slots)]
    for at, demand in zip(scenario.requests.times, demands, strict=True):
        slot = int(np.searchsorted(ends, at + delays.hop / 2, side="right"))
        if slot == slots:
            continue  # it arrives after the end
        arrived[slot:] += demand.total
        requests[slot].append(math.ceil(demand.total / unit - NEVER_MIND))
        late = ends - (at + ttft - delays.hop / 2)
        rest = np.clip(late / demand.seconds, 0, 1) if demand.seconds else 1.0
        due += np.where(late >= 0, demand.first + demand.rest * rest, 0.0)
    return Work(
        slot=float(ends[0]),
        units=UNITS,
        start=start,
        gpus=scenario.gpus,
        arrived=[math.ceil(units - NEVER_MIND) for units in arrived / unit],
        due=[math.floor(units + NEVER_MIND) for units in due / unit],
        requests=requests,
    )
