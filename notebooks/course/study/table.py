"""A study as a table: means with their intervals, and which policy wins under which load.

Policies are compared seed by seed (the same requests), so the intervals are of differences. No winner is
named if its lead could be luck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from course.study.interval import Interval
from course.study.record import Run

Figure = Callable[[Run], float]


def rows(runs: Sequence[Run]) -> list[dict[str, str]]:
    """One row per load and policy; inconclusive runs are counted, but left out of the means."""
    found = []
    for load, policy in dict.fromkeys((run.load, run.policy) for run in runs):
        mine = [run for run in runs if (run.load, run.policy) == (load, policy)]
        sure = [run for run in mine if run.conclusive]
        found.append(
            {
                "load": load,
                "policy": policy,
                "in time": _percent(Interval.of([run.attainment for run in sure])),
                "GPU-seconds": _number(Interval.of([run.gpu_seconds for run in sure])),
                "GPU-seconds for a promise kept": _number(Interval.of([run.price for run in sure]), 1),
                "peak replicas": f"{max((v for run in sure for _, v in run.desired), default=0):g}",
                "runs": f"{len(sure)}"
                + (f" (+ {len(mine) - len(sure)} inconclusive)" if len(sure) < len(mine) else ""),
            }
        )
    return found


def winners(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Which policy keeps the most promises under each load, and which uses the fewest GPU-seconds for one."""
    return [
        {
            "load": load,
            "most in time": _winner([run for run in runs if run.load == load], lambda run: run.attainment),
            "cheapest promise": _winner([run for run in runs if run.load == load], lambda run: -run.price),
        }
        for load in dict.fromkeys(run.load for run in runs)
    ]


def winner(runs: Sequence[Run], figure: Figure) -> str:
    """The policy whose figure is significantly higher than every other's; empty if none is."""
    policies = list(dict.fromkeys(run.policy for run in runs))
    for policy in policies:
        others = [other for other in policies if other != policy]
        if others and all(difference(runs, policy, other, figure).says > 0 for other in others):
            return policy
    return ""


def difference(runs: Iterable[Run], one: str, other: str, figure: Figure) -> Interval:
    """How much higher one policy's figure is than another's, seed by seed."""
    by = {(run.policy, run.seed): figure(run) for run in runs if run.conclusive}
    seeds = sorted(seed for policy, seed in by if policy == one and (other, seed) in by)
    return Interval.of([by[one, seed] - by[other, seed] for seed in seeds])


def _winner(runs: Sequence[Run], figure: Figure) -> str:
    return winner(runs, figure) or "no clear winner"


def _percent(value: Interval) -> str:
    return f"{value.mean:.0%}" + (f" ± {100 * value.half:.0f}" if value.count > 1 else "")


def _number(value: Interval, digits: int = 0) -> str:
    return f"{value.mean:,.{digits}f}" + (f" ± {value.half:,.{digits}f}" if value.count > 1 else "")
