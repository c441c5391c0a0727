"""A thousand what-ifs: each policy's promises kept and GPU-seconds spent, and the frontier between the two.

It makes no choice: the frontier shows what shorter waits cost, not whether they are worth it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from course.hpa.policy import Policy
from course.hpa.setting import Setting
from course.hpa.simulator import simulate
from labkit.load import Load

Tell = Callable[[int, int, float], None]
"""Takes how many are done, how many there are, and the seconds that are left."""


def quiet(_done: int, _of: int, _left: float) -> None:
    """A `Tell` for callers that want no progress."""


@dataclass(frozen=True)
class Point:
    """One policy: share of the requests that were answered in time, and what it cost."""

    name: str
    family: str
    policy: Policy | int
    attainment: float
    gpu_seconds: float

    def __str__(self) -> str:
        return f"{self.name}: {self.attainment:.0%} in time for {self.gpu_seconds:,.0f} GPU s"

    def row(self) -> dict[str, str]:
        """As a row of a table."""
        return {
            "policy": self.name,
            "in time": f"{self.attainment:.0%}",
            "GPU-seconds": f"{self.gpu_seconds:,.0f}",
        }


@dataclass(frozen=True, repr=False)
class Sweep:
    """All points of one load, the promise (`ttft`, lab seconds) to keep, and how long the sweep took."""

    points: tuple[Point, ...]
    ttft: float
    took: float

    def __repr__(self) -> str:
        return f"<{len(self.points):,} policies in {self.took:.0f} s, {len(self.frontier)} on the frontier>"

    @property
    def frontier(self) -> tuple[Point, ...]:
        """The policies that no other one beats on both counts, cheapest first."""
        kept: list[Point] = []
        for point in sorted(self.points, key=lambda p: (p.gpu_seconds, -p.attainment)):
            if not kept or point.attainment > kept[-1].attainment:
                kept.append(point)
        return tuple(kept)

    def of(self, family: str) -> tuple[Point, ...]:
        """The points of one family, cheapest first."""
        return tuple(sorted((p for p in self.points if p.family == family), key=lambda p: p.gpu_seconds))

    def families(self) -> dict[str, list[tuple[float, float]]]:
        """(GPU-seconds, share in time) of each family's points."""
        names = dict.fromkeys(p.family for p in self.points)
        return {name: [(p.gpu_seconds, p.attainment) for p in self.of(name)] for name in names}

    def cheapest(self, *, attainment: float, family: str = "") -> Point | None:
        """The cheapest policy that keeps at least this share of the promises; None if none does."""
        able = [p for p in self.points if p.attainment >= attainment and family in {"", p.family}]
        return min(able, key=lambda p: p.gpu_seconds, default=None)


@dataclass(frozen=True)
class Question:
    """The question for every policy of a sweep: the load, the promise, for how long, which seeds."""

    load: Load
    ttft: float
    seconds: float
    seeds: Sequence[int] = (0,)


def sweep(
    setting: Setting,
    question: Question,
    policies: Mapping[str, Mapping[str, Policy | int]],
    tell: Tell = quiet,
) -> Sweep:
    """Ask about all of them, family by family."""
    began = time.monotonic()
    every = [(family, name, policy) for family, named in policies.items() for name, policy in named.items()]
    days = [setting.scenario(question.load, 1, seconds=question.seconds, seed=s) for s in question.seeds]
    found = []
    for done, (family, name, policy) in enumerate(every, 1):
        outcomes = [simulate(replace(day, policy=policy)) for day in days]
        kept = fmean(outcome.attainment(ttft=question.ttft) for outcome in outcomes)
        cost = fmean(outcome.gpu_seconds for outcome in outcomes)
        found.append(Point(name, family, policy, kept, cost))
        passed = time.monotonic() - began
        tell(done, len(every), passed / done * (len(every) - done))
    return Sweep(tuple(found), question.ttft, time.monotonic() - began)
