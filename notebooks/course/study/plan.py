"""Which runs a study has, and which are left: each policy under each load with each seed.

Runs go seed by seed: a study that is stopped early has compared everything, with fewer seeds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from course.hpa.setting import policy_of
from course.study.days import DAYS, Day
from course.study.record import Run
from course.study.trial import Plan

POLICIES: dict[str, Plan] = {
    "static": 3,  # what the mean of a ramp day needs, plus one
    "CPU": "manifests/06-tuning/policies/cpu.yaml",
    "queue": "manifests/base/hpa.yaml",
}
SEEDS = 5
TRIES = 5
"""How often a run is tried on a machine that is too busy for a verdict."""

BETWEEN = 7.0
"""Real seconds from one run to the next, about: old servers go, new ones start."""


@dataclass(frozen=True)
class Cell:
    """One run to make."""

    policy: str
    day: Day
    seed: int

    def __str__(self) -> str:
        return f"{self.day.name}, {self.policy}, seed {self.seed}"

    @property
    def choice(self) -> Plan:
        """The policy itself."""
        return POLICIES[self.policy]

    @property
    def of(self) -> str:
        """A digest that changes with the load or the policy, so that older runs no longer belong."""
        coming = self.day.arrivals(self.seed)
        told = (
            coming.what,
            coming.times,
            coming.sizes,
            self.day.seconds,
            self.day.ttft,
            policy_of(self.choice),
        )
        return hashlib.sha256(repr(told).encode()).hexdigest()[:12]

    def takes(self, clock: float) -> float:
        """Roughly how many real seconds it takes."""
        return self.day.seconds / clock + BETWEEN


def cells(seeds: int = SEEDS) -> Iterator[Cell]:
    """All cells, seed by seed."""
    for seed in range(seeds):
        for day in DAYS.values():
            for policy in POLICIES:
                yield Cell(policy, day, seed)


def left(runs: Iterable[Run], *, seeds: int = SEEDS) -> list[Cell]:
    """The runs still to make: cells without a conclusive run that were not tried often enough."""
    made = list(runs)
    open_ = [cell for cell in cells(seeds) if not _done(cell, made)]
    # Runs for which the machine was too busy come last: it might be less busy by then.
    return sorted(open_, key=lambda cell: len(_of(cell, made)))


def current(runs: Iterable[Run], *, seeds: int = SEEDS) -> list[Run]:
    """The runs that belong to this study, one per cell: a conclusive one if there is any."""
    made, found = list(runs), []
    for cell in cells(seeds):
        mine = _of(cell, made)
        found += [run for run in mine if run.conclusive][-1:] or mine[-1:]
    return found


def _done(cell: Cell, made: list[Run]) -> bool:
    mine = _of(cell, made)
    return any(run.conclusive for run in mine) or len(mine) >= TRIES


def _of(cell: Cell, made: list[Run]) -> list[Run]:
    key = (cell.policy, cell.day.name, cell.seed, cell.of)
    return [run for run in made if (run.policy, run.load, run.seed, run.of) == key]
