"""How many workers this machine can run, and why: each has a cluster, a kernel and a fleet of its own.

Free memory is what the system reports as available now. If there is one cluster for all, there is one worker.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psutil

from labkit.errors import BadInput
from labkit_grading.sites.site import Site
from labkit_grading.verbs.asked import verbs

MEMORY = 1.5
"""GiB: a cluster takes 0.6, a kernel and the grader's own process 0.3, ten model servers and a load 0.6."""
WAITING, LOADED = 0.5, 1.0
"""Cores: notebooks mostly wait for the cluster; one that loads servers keeps a core busy meanwhile, and on
a machine that is short of CPU what it measures is inconclusive."""


@dataclass(frozen=True)
class Capacity:
    """What the machine has: cores that we are allowed to use, and free memory in GiB."""

    cores: int
    memory: float

    @classmethod
    def here(cls) -> Capacity:
        """The capacity of this machine now."""
        return cls(len(os.sched_getaffinity(0)), psutil.virtual_memory().available / 2**30)


@dataclass(frozen=True)
class Crew:
    """How many workers, and a sentence that says why."""

    workers: int
    why: str


def chosen(
    notebooks: Iterable[Any], students: int, *, asked: int | None = None, machine: Capacity | None = None
) -> Crew:
    """As many as were `asked` for, else as many as the machine can run; never more than students."""
    has = machine or Capacity.here()
    loads = any(verbs(notebook) & {"load", "trial"} for notebook in notebooks)
    each = LOADED if loads else WAITING
    by_cores, by_memory = max(1, int(has.cores / each)), max(1, int(has.memory / MEMORY))
    carries = min(by_cores, by_memory)
    workers = max(1, min(asked or carries, students))
    kind = "these notebooks put load on servers" if loads else "these notebooks mostly wait"
    why = (
        f"{_count(has.cores, 'core')} are enough for {by_cores} ({each:g} each: {kind}), "
        f"{has.memory:.1f} GiB of free memory {by_memory} ({MEMORY:g} each)"
    )
    if asked and asked > carries:
        why += f"; {asked} were requested, which is more: expect inconclusive figures"
    return Crew(workers, f"{_count(workers, 'worker')}, each with a cluster of its own: {why}")


def shared(site: Site, *, asked: int | None = None) -> Crew:
    """The single worker on a cluster that is not the worker's own."""
    if asked and asked > 1:
        raise BadInput(
            f"{asked} workers were requested, but {site} has room for one.",
            cause="Namespace, GPUs and metrics APIs of one cluster can't be shared: two students would skew "
            "each other's figures.",
            fix="Omit --workers; or omit --provider, so that each worker gets its own cluster.",
        )
    return Crew(1, f"1 worker, on {site}: its namespace, GPUs and metrics APIs can't be shared")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
