"""The loads of the study, each with its promise to users. A run takes 28 to 40 real seconds.

This is no benchmark: a day of ten minutes with one peak is enough to see which policy reacts, and when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from labkit.load import Arrivals, arrivals, traces

QUIET, PEAK = 0.3, 3.0
"""Requests per lab second. One server answers 0.6: two are enough in quiet times, five at the peak."""

SHARE = 0.27
"""Part of the recorded users: as many as ten such GPUs can serve."""


@dataclass(frozen=True)
class Day:
    """A load, observed for `seconds` lab seconds from its start; `ttft` is the promise (lab seconds)."""

    name: str
    seconds: float
    ttft: float
    arrivals: Callable[[int], Arrivals]
    """From a seed to arrival times."""
    moments: Mapping[float, str] = field(default_factory=dict)
    """What a plot should point at, by lab second."""


def _ramp(seed: int) -> Arrivals:
    return arrivals.profile([(0, QUIET), (390, PEAK), (480, QUIET), (540, QUIET)], seed=seed)


def _burst(seed: int) -> Arrivals:
    return arrivals.burst(base=QUIET, peak=PEAK, between=(45, 180), seconds=360, seed=seed)


def _trace(seed: int) -> Arrivals:
    recorded = traces.get("code", seconds=360, seed=seed).share(SHARE, seed=seed)
    return recorded.capped(tokens_in=7500, tokens_out=200).arrivals()


RAMP = Day("ramp", 600, 10, _ramp, {390: "the peak", 480: "quiet again"})
BURST = Day("burst", 420, 10, _burst, {45: "the burst begins", 180: "it ends"})
TRACE = Day("trace", 420, 2, _trace)  # code completion: no user waits ten seconds for it
DAYS = {day.name: day for day in (RAMP, BURST, TRACE)}
