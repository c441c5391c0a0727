"""When requests arrive, known before the first one is sent: that is what makes a load open-loop.

All times are lab seconds from the start. They do not depend on the server: a slow answer moves no arrival.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from labkit.errors import BadInput

Point = tuple[float, float]


@dataclass(frozen=True)
class Arrivals:
    """Arrival times in lab seconds, ascending, and how they were made; `sizes` if they come from a trace."""

    times: tuple[float, ...]
    seconds: float
    what: str
    sizes: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not self.times:
            raise BadInput(
                f"No request arrives in {self.seconds:g} lab seconds: {self.what}.",
                cause="The rate or the window is too small.",
                fix="Raise the rate or the seconds, or choose another window.",
            )

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        mean = len(self) / self.seconds
        return f"<Arrivals {self.what}: {len(self)} in {self.seconds:g} lab s, {mean:.2f} requests/s>"

    def per(self, width: float) -> list[int]:
        """The number of arrivals in each window of `width` lab seconds."""
        counts = [0] * max(1, -int(-self.seconds // width))
        for time in self.times:
            counts[min(int(time / width), len(counts) - 1)] += 1
        return counts


def poisson(*, rate: float, seconds: float, seed: int = 0) -> Arrivals:
    """Independent users: `rate` requests per lab second on average, with exponential gaps.

    >>> poisson(rate=0.5, seconds=600)
    <Arrivals Poisson at 0.5/s, seed 0: 301 in 600 lab s, 0.50 requests/s>
    """
    what = f"Poisson at {rate:g}/s, seed {seed}"
    return _profile([(0, rate), (seconds, rate)], what=what, seed=seed)


def ramp(*, start: float, end: float, seconds: float, seed: int = 0) -> Arrivals:
    """A rate that climbs (or falls) in a straight line from `start` to `end` requests per lab second."""
    what = f"ramp {start:g} → {end:g}/s, seed {seed}"
    return _profile([(0, start), (seconds, end)], what=what, seed=seed)


def steps(rates: Sequence[Point], *, seconds: float, seed: int = 0) -> Arrivals:
    """A staircase: each `(time, rate)` sets the rate from that time on.

    >>> len(steps([(0, 1), (60, 4)], seconds=120)) > 200
    True
    """
    ends = [time for time, _ in rates[1:]] + [seconds]
    points = [p for (time, rate), end in zip(rates, ends, strict=True) for p in ((time, rate), (end, rate))]
    shown = ", ".join(f"{rate:g}/s from {time:g} s" for time, rate in rates)
    return _profile(points, what=f"steps {shown}, seed {seed}", seed=seed)


def burst(
    *, base: float, peak: float, seconds: float, between: tuple[float, float], seed: int = 0
) -> Arrivals:
    """`base` requests per lab second, but `peak` from `between[0]` to `between[1]`."""
    start, end = between
    made = steps([(0, base), (start, peak), (end, base)], seconds=seconds, seed=seed)
    what = f"burst {base:g} → {peak:g} → {base:g}/s from {start:g} to {end:g} s, seed {seed}"
    return Arrivals(made.times, seconds, what)


def even(*, rate: float, seconds: float) -> Arrivals:
    """A metronome: equal gaps. Real users don't behave like this, and it makes queues look far too good."""
    times = tuple(i / rate for i in range(int(rate * seconds)))
    return Arrivals(times, seconds, f"evenly spaced at {rate:g}/s")


def profile(points: Sequence[Point], *, seed: int = 0) -> Arrivals:
    """Poisson arrivals whose rate follows straight lines between the `(time, rate)` points."""
    return _profile(points, what=f"rate profile of {len(points)} points, seed {seed}", seed=seed)


def _profile(points: Sequence[Point], *, what: str, seed: int) -> Arrivals:
    """Map a Poisson process of rate 1 through the inverse of the cumulative rate: exact, no rejection."""
    _check(points, what)
    rng = random.Random(seed)
    times: list[float] = []
    due, passed = rng.expovariate(1), 0.0
    for (t0, r0), (t1, r1) in pairwise(points):
        area = (r0 + r1) / 2 * (t1 - t0)
        locate = _locate(t0, r0, slope=(r1 - r0) / (t1 - t0) if t1 > t0 else 0.0)
        while due < passed + area:
            times.append(locate(due - passed))
            due += rng.expovariate(1)
        passed += area
    return Arrivals(tuple(times), points[-1][0], what)


def _locate(start: float, rate: float, *, slope: float) -> Callable[[float], float]:
    """The time at which the area under `rate + slope * t` reaches a given number."""

    def time(area: float) -> float:
        root = math.sqrt(max(0.0, rate * rate + 2 * slope * area))
        # The textbook formula for the root loses precision if the slope is near 0; this form does not.
        return start + 2 * area / (rate + root)

    return time


def _check(points: Sequence[Point], what: str) -> None:
    times = [time for time, _ in points]
    if times[0] != 0 or times != sorted(times) or times[-1] <= 0 or any(rate < 0 for _, rate in points):
        raise BadInput(
            f"A load can't follow {what}.",
            cause="Times start at 0 and rise, the last is the end; rates are not negative.",
            fix="arrivals.steps([(0, 1), (60, 4)], seconds=120)",
        )
