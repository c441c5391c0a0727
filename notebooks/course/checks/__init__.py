"""The course's checks: a module for each notebook, or two, each with its `CHECKS`.

A module takes part by being in this folder. Judges are pure functions from evidence to a `Finding`
(labkit.checks.check).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from labkit.checks.check import Check


def checks() -> Iterator[Check]:
    """All checks, in no particular order."""
    for module in iter_modules(__path__):
        yield from getattr(import_module(f"{__name__}.{module.name}"), "CHECKS", ())
