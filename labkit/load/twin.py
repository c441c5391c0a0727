"""A synthetic trace from figures: the same statistics, other requests, any length, any seed.

Smooth traffic is a Poisson process whose rate follows the recorded profile; bursty traffic is bursts and
pauses, each drawn from recorded quantiles. It can't be a copy: no single recorded request is known here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate, chain

from labkit.load import arrivals
from labkit.load.figures import BLOCK, STEP, Figures
from labkit.load.workload import interpolate


@dataclass(frozen=True)
class Events:
    """Times (seconds from 0) and sizes (tokens in, tokens out)."""

    times: tuple[float, ...]
    sizes: tuple[tuple[int, int], ...]


def make(figures: Figures, *, seconds: float, seed: int) -> Events:
    """A twin of that length; a longer one repeats the profile, a shorter one cuts it."""
    rng = random.Random(seed)
    bursty = figures.bursty
    times = _bursts(figures, rng, seconds=seconds) if bursty else _smooth(figures, seconds=seconds, seed=seed)
    sizes = tuple((_draw(figures.tokens_in, rng), _draw(figures.tokens_out, rng)) for _ in times)
    return Events(times, sizes)


def _smooth(figures: Figures, *, seconds: float, seed: int) -> tuple[float, ...]:
    """Straight lines between the middles of the profile's steps."""
    count = len(figures.profile)
    middles = [(STEP * (i + 0.5), figures.profile[i % count]) for i in range(int(seconds // STEP) + 1)]
    points = [(0.0, middles[0][1]), *middles, (max(seconds, middles[-1][0]) + 1, middles[-1][1])]
    return tuple(time for time in arrivals.profile(points, seed=seed).times if time < seconds)


def _bursts(figures: Figures, rng: random.Random, *, seconds: float) -> tuple[float, ...]:
    times: list[float] = []
    now = 0.0
    while now < seconds:
        size = max(1, round(interpolate(figures.burst_sizes, rng.random())))
        gaps = (_gap(figures, rng, count=min(BLOCK, size - 1 - i)) for i in range(0, size - 1, BLOCK))
        burst = list(accumulate(chain.from_iterable(gaps), initial=now))
        times += burst
        now = burst[-1] + interpolate(figures.pauses, rng.random())
    return tuple(time for time in times if time < seconds)


def _gap(figures: Figures, rng: random.Random, *, count: int) -> list[float]:
    """`count` gaps in a row that share one pace."""
    pace = interpolate(figures.burst_gaps, rng.random())
    return [pace * interpolate(figures.burst_rhythm, rng.random()) for _ in range(count)]


def _draw(table: tuple[float, ...], rng: random.Random) -> int:
    return max(1, round(interpolate(table, rng.random())))
