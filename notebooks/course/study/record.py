"""What is kept of a run: the bill, the replicas over time, and how far its figures can be trusted.

Small enough to be stored with the course: it has no single requests. Times are lab seconds of the load.
"""

from __future__ import annotations

from dataclasses import dataclass

from course.study.trial import Trial
from labkit.metrics.series import Point, Series, area

PRESSURE = 0.7
"""Share of the time in which some task may wait for a CPU. At 0.9 servers started 100 lab s after they were
asked for, not 40: a load test would hardly notice, an autoscaler's day is another one."""


@dataclass(frozen=True)
class Run:
    """One run: `kept` of `requests` were answered in time while GPUs were held for `gpu_seconds`.

    `lag` is the 99th percentile of how late requests were sent (lab s), `pressure` the share of the time in
    which some task of the machine waited for a CPU; `doubts` says in words if either is too high. `of`
    identifies the load and the policy.
    """

    policy: str
    load: str
    seed: int
    of: str
    requests: int
    kept: int
    gpu_seconds: float
    desired: tuple[Point, ...]
    ready: tuple[Point, ...]
    lag: float
    pressure: float | None
    doubts: tuple[str, ...] = ()

    @property
    def attainment(self) -> float:
        """Share of the requests that were answered in time."""
        return self.kept / self.requests

    @property
    def price(self) -> float:
        """GPU-seconds per promise kept."""
        return self.gpu_seconds / max(self.kept, 1)

    @property
    def conclusive(self) -> bool:
        """Whether the cluster was measured, and not a starved machine."""
        return not self.doubts and (self.pressure or 0.0) <= PRESSURE

    @property
    def why_not(self) -> str:
        """What makes it inconclusive, in words; empty if nothing does."""
        starved = f"some task waited for a CPU {self.pressure or 0:.0%} of the time (limit {PRESSURE:.0%})"
        return "" if self.conclusive else "; ".join(self.doubts or [starved])

    def replica_seconds(self, seconds: float) -> float:
        """Ready replicas added up over the day."""
        return area(self.ready, 0.0, seconds)


def record(done: Trial, *, policy: str, day: str, seed: int, of: str) -> Run:
    """What is kept of a trial."""
    began = (done.load.started - done.run.began) * done.load.clock
    pressure = done.load.pressure
    return Run(
        policy=policy,
        load=day,
        seed=seed,
        of=of,
        requests=done.bill.requests,
        kept=done.bill.kept,
        gpu_seconds=round(done.bill.gpu_seconds, 1),
        desired=_steps(done.run.one("desired"), began),
        ready=_steps(done.run.one("ready"), began),
        lag=round(done.load.lag.p99, 3),
        pressure=None if pressure is None else round(pressure, 3),
        doubts=done.bill.doubts,
    )


def _steps(series: Series, began: float) -> tuple[Point, ...]:
    """The steps of a series, from the start of the load."""
    first = series.at(began)
    kept = [(0.0, first)] if first is not None else []
    return (*kept, *((round(t - began, 1), v) for t, v in series.steps() if t > began))
