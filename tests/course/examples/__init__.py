"""For every check of the course: evidence that is right, and mutants of it, each with one thing wrong.

`PASSING` and `MUTANTS` of each module are of one notebook. A new check needs one of each; a mutant that
another check would name, too, needs a brother that only its own check names.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.course.examples import (
    cold_starts,
    containerize,
    deploy,
    gateway,
    hpa_cpu,
    hpa_queue,
    keda,
    load,
    placement,
    production,
    start,
    tuning,
    waste,
)
from tests.course.mutants import Case

_ALL = (
    start,
    containerize,
    deploy,
    load,
    hpa_cpu,
    hpa_queue,
    tuning,
    cold_starts,
    waste,
    placement,
    production,
    keda,
    gateway,
)


def right(notebook: str) -> list[Case]:
    """What is right for the checks of a notebook (`05`)."""
    return list(_of(notebook, [case for module in _ALL for case in module.PASSING]))


def wrong(notebook: str) -> list[Case]:
    """The mutants of a notebook's checks."""
    return list(_of(notebook, [case for module in _ALL for case in module.MUTANTS]))


def _of(notebook: str, cases: list[Case]) -> Iterator[Case]:
    return ((name, given) for name, given in cases if name.startswith(f"{notebook}."))
