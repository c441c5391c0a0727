"""The statistics of a trace, from which a synthetic twin is made and against which it is tested.

`twins.toml` beside this file holds those of the two recorded traces. It was written by

    labkit load figures AzureLLMInferenceTrace_{conv,code}.csv > labkit/load/twins.toml

It keeps nothing about a single request: only counts, moments and quantiles.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from labkit.load.workload import quantiles_of
from localcluster.stored import made

QUIET = 2.0
"""A pause longer than this many seconds ends a burst."""

BLOCK = 25
"""Within a burst, the pace is recorded once for this many gaps, since it drifts."""

STEP = 120.0
"""Seconds per step of the rate profile."""

_TWINS = Path(__file__).with_name("twins.toml")


@dataclass(frozen=True)
class Figures:
    """The statistics of one trace. Times in seconds, rates per second; tuples are quantiles at equal steps.

    `dispersion_W` is variance over mean of the counts in windows of W seconds: 1 for independent users, more
    for crowds. `idle` is the share of seconds without a request.
    """

    requests: int
    seconds: float
    rate: float
    gap_cv: float
    dispersion_1: float
    dispersion_10: float
    dispersion_60: float
    idle: float
    bursty: bool
    profile: tuple[float, ...]  # mean rate in each two minutes
    burst_sizes: tuple[float, ...]
    burst_gaps: tuple[float, ...]  # mean of 25 gaps in a row
    burst_rhythm: tuple[float, ...]  # a gap over that mean
    pauses: tuple[float, ...]
    tokens_in: tuple[float, ...]
    tokens_out: tuple[float, ...]

    @classmethod
    def of(cls, times: Sequence[float], sizes: Sequence[tuple[int, int]], *, seconds: float) -> Figures:
        """Compute the figures of a trace."""
        gaps = [b - a for a, b in pairwise(times)]
        counts = _counts(times, width=1, seconds=seconds)
        bursts = _Bursts.of(times)
        steps = _counts(times, width=STEP, seconds=seconds)
        gap_cv = pstdev(gaps) / fmean(gaps)
        return cls(
            requests=len(times),
            seconds=seconds,
            rate=len(times) / seconds,
            gap_cv=gap_cv,
            dispersion_1=_dispersion(counts),
            dispersion_10=_dispersion(_counts(times, width=10, seconds=seconds)),
            dispersion_60=_dispersion(_counts(times, width=60, seconds=seconds)),
            idle=sum(count == 0 for count in counts) / len(counts),
            bursty=gap_cv > 2,
            profile=tuple(count / STEP for count in steps),
            burst_sizes=quantiles_of(bursts.sizes, points=41),
            burst_gaps=quantiles_of(bursts.gaps or [0.0], points=21),
            burst_rhythm=quantiles_of(bursts.rhythm or [1.0], points=41),
            pauses=quantiles_of(bursts.pauses or [0.0], points=41),
            tokens_in=quantiles_of([float(size[0]) for size in sizes], points=41),
            tokens_out=quantiles_of([float(size[1]) for size in sizes], points=41),
        )

    def toml(self, name: str) -> str:
        """The figures as a TOML table of that name."""
        lines = [f"[{name}]"]
        for field in fields(self):
            value = getattr(self, field.name)
            shown = f"[{', '.join(map(_number, value))}]" if isinstance(value, tuple) else _number(value)
            lines.append(f"{field.name} = {shown}")
        return "\n".join(lines) + "\n"


@cache
def recorded() -> dict[str, Figures]:
    """The figures of the recorded traces, by name."""
    return made(dict[str, Figures], tomllib.loads(_TWINS.read_text()))


@dataclass(frozen=True)
class _Bursts:
    sizes: list[float]
    gaps: list[float]
    rhythm: list[float]
    pauses: list[float]

    @classmethod
    def of(cls, times: Sequence[float]) -> _Bursts:
        found = cls([], [], [], [])
        for burst in _split(times):
            found.sizes.append(float(len(burst)))
            gaps = [b - a for a, b in pairwise(burst)]
            for start in range(0, len(gaps), BLOCK):
                found._add(gaps[start : start + BLOCK])
        found.pauses.extend(b - a for a, b in pairwise(times) if b - a > QUIET)
        return found

    def _add(self, block: list[float]) -> None:
        mean = fmean(block)
        if mean > 0:
            self.gaps.append(mean)
            self.rhythm.extend(gap / mean for gap in block)


def _split(times: Sequence[float]) -> Iterator[list[float]]:
    burst = [times[0]]
    for before, time in pairwise(times):
        if time - before > QUIET:
            yield burst
            burst = []
        burst.append(time)
    yield burst


def _counts(times: Sequence[float], *, width: float, seconds: float) -> list[int]:
    """Requests in each whole window, without a partial one at the end, whose count would be too low."""
    counts = [0] * max(1, int(seconds // width))
    for time in times:
        if time < len(counts) * width:
            counts[int(time // width)] += 1
    return counts


def _dispersion(counts: Sequence[int]) -> float:
    mean = fmean(counts)
    return pstdev(counts) ** 2 / mean if mean else 0.0


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    return str(value).lower()
