"""What queueing theory needs from a load test: points of a sweep, and the queue that each request met.

It works only from the rows of a run, as users saw it, and never looks into the server.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass
from statistics import fmean

from labkit.load.results import LoadResult
from labkit.load.summary import Quantiles

WARM = 20.0
"""Lab seconds until a server's places are taken and the first answers are out; rates count from then on."""

LOOK = 5.0  # lab seconds between two counts of the requests in flight


@dataclass(frozen=True)
class LoadPoint:
    """One load on one server: rates per lab second, times in lab seconds.

    `offered` and `answered` while requests arrived, `ttft_p95` of all of them, `in_system` (mean number in
    flight), `arrivals` per second and `time` (mean, from due to the last token) over the whole run.
    """

    offered: float
    answered: float
    ttft_p95: float
    in_system: float
    arrivals: float
    time: float


def load_point(run: LoadResult) -> LoadPoint:
    """The figures of one run."""
    until = float(run.plan["shape"]["seconds"])
    whole = [row for row in run.rows if row.ok]
    ended = sum(WARM <= row.end < until for row in whole)
    return LoadPoint(
        offered=len(run.rows) / until,
        answered=ended / max(until - WARM, 1e-9),
        ttft_p95=Quantiles.of(row.ttft for row in run.rows).p95,
        in_system=fmean(w.in_flight for w in run.windows(LOOK)),
        arrivals=len(run.rows) / max(run.seconds, 1e-9),
        time=fmean(row.e2e for row in whole) if whole else float("nan"),
    )


def queue_met(run: LoadResult) -> list[tuple[int, float]]:
    """For each request: how many still waited for their first token when it arrived, and its own TTFT."""
    started = sorted(row.first for row in run.rows if row.first is not None)
    met: list[tuple[int, float]] = []
    came: list[float] = []
    for row in run.rows:
        if row.first is None or row.ttft is None:
            continue
        met.append((bisect_left(came, row.due) - bisect_right(started, row.due), row.ttft))
        insort(came, row.due)
    return [(max(0, queue), ttft) for queue, ttft in met]
