"""Checks: pure functions from what was observed to a `Verdict`.

A course brings its own in the package `course.checks` beside its notebooks; labkit knows none by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module

from labkit.checks.check import Check, Finding
from labkit.errors import BadInput
from labkit.evidence import Verdict

CHECKS: dict[str, Check]
"""By id, in the course's order. Loaded when first used: the course's checks import this package."""


@cache
def _checks() -> dict[str, Check]:
    """Load the course's checks by their location, as manifests are; labkit loads no other course code."""
    found: Iterable[Check] = import_module("course.checks").checks()
    return {check.id: check for check in sorted(found, key=lambda c: c.id[:2])}


def __getattr__(name: str) -> dict[str, Check]:
    if name != "CHECKS":
        raise AttributeError(name)
    return _checks()


def get(check: str) -> Check:
    """The check with that name; if there is none, `BadInput` lists the checks of that notebook."""
    known = _checks()
    if check not in known:
        near = [name for name in known if name[:2] == check[:2]] or sorted(known)
        raise BadInput(
            f"There is no check called {check!r}.", fix=f"Checks of this notebook: {', '.join(near)}."
        )
    return known[check]


__all__ = ["CHECKS", "Check", "Finding", "Verdict", "get"]
