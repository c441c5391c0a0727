"""The checks of the course: pure functions from what was observed to a `Verdict`.

Each notebook's checks stand in a module of this package, as `CHECKS`; a module joins by being here.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from labkit.checks.check import Check, Finding
from labkit.errors import BadInput
from labkit.evidence import Verdict


def _of_all_notebooks() -> Iterator[Check]:
    for module in iter_modules(__path__):
        yield from getattr(import_module(f"{__name__}.{module.name}"), "CHECKS", ())


CHECKS: dict[str, Check] = {check.id: check for check in sorted(_of_all_notebooks(), key=lambda c: c.id[:2])}


def get(check: str) -> Check:
    """The check of that name; raises `BadInput` with the names of its notebook where there is none."""
    if check not in CHECKS:
        near = [name for name in CHECKS if name[:2] == check[:2]] or sorted(CHECKS)
        raise BadInput(
            f"There is no check called {check!r}.", fix=f"Checks of this notebook: {', '.join(near)}."
        )
    return CHECKS[check]


__all__ = ["CHECKS", "Check", "Finding", "Verdict", "get"]
