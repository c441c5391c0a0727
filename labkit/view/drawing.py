"""Chooses what `lab.plot` draws, by the type of its argument. Refuses types without a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labkit.errors import BadInput
from labkit.evidence import Series, Timeline
from labkit.evidence.cold_start import ColdStart
from labkit.evidence.curves import Curves
from labkit.evidence.states import States
from labkit.load import LoadResult
from labkit.view import curve, gpus, plot, states, updates
from labkit.view.picture import Picture

Drawable = (
    Timeline
    | Sequence[Series]
    | Curves
    | States
    | Mapping[str, ColdStart]
    | Mapping[str, LoadResult]
    | Sequence[gpus.Gpu]
)


def picture(what: Any, *, title: str, target: float | None, clock: float, stamp: str) -> Picture:
    """The picture of a recording, series, curves, pod states, cold starts, load tests, or GPUs."""
    if isinstance(what, Mapping) and _all(what.values(), ColdStart):
        what = States(clock, {name: start.phases for name, start in what.items()})
    match what:
        case Curves():
            return curve.picture(what, title=title, stamp=stamp)
        case States():
            return states.picture(what, title=title, stamp=stamp)
        case Mapping() if _all(what.values(), LoadResult):
            return updates.picture(what, title=title, stamp=stamp)
        case Timeline():
            return plot.picture(what, title=title, target=target, stamp=stamp)
        case [*_] if _all(what, Series):
            return plot.picture(what, title=title, target=target, stamp=stamp)
        case [*_] if _all(what, gpus.Gpu):
            return gpus.picture(what, title=title, stamp=stamp)
    raise BadInput(
        f"Can't draw {what!r:.100}.",
        fix="Draw a recording, series, Curves(…), the result of lab.follow(…).stop(), cold starts or "
        'loads by name, or "gpus".',
    )


def _all(values: Any, kind: type) -> bool:
    return all(isinstance(value, kind) for value in values)
