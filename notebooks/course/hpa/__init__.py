"""The arithmetic of the HorizontalPodAutoscaler, and what is built on it.

    policy, readings     what an HPA asks for, and what one sync sees
    proposal, limits     one metric's proposal; stabilization, rates and bounds after it
    arithmetic           `decide`: one sync, every stage of it, and why
    audit, hpa_v1, memory, rounds, answers, syncs → ledger     a real controller's syncs, recomputed
    scenario, replica, fleet, gateway, picker → simulator → comparison      what if, and how far it is off
    setting, candidates → search                the server as deployed; a thousand policies and their frontier
    demand, cheapest → lower_bound              the floor: no autoscaler keeps a promise for less

    explain, model, frontier                    a notebook's verbs, as listed below

Nothing here scales anything: the controller does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from course.hpa.explain import why
    from course.hpa.model import floor, plot_frontier, sweep, what_if

__all__ = ["floor", "plot_frontier", "sweep", "what_if", "why"]

_VERBS = {"why": "explain", "floor": "model", "plot_frontier": "model", "sweep": "model", "what_if": "model"}


def __getattr__(name: str) -> Any:
    """A notebook's verb, imported when it is first used: `labkit why` needs the arithmetic, and no plots."""
    if name not in _VERBS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_VERBS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
