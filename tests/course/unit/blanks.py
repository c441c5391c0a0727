"""Evidence of nothing: what is left of a recording that was never made, or stopped after a lab second.

Made from evidence that is right, so it has the type that the notebook hands over. A type that is not known
here raises: whoever hands a new one to a check says what an empty one looks like.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import singledispatch
from typing import Any

from course.queueing import LoadPoint
from labkit.evidence import Bill, Series, Timeline
from labkit.evidence.cold_start import ColdStart
from labkit.evidence.pace import Pace
from labkit.evidence.states import States
from labkit.load import LoadResult

SECOND = 1.0  # lab second after which it was stopped


@singledispatch
def empty(evidence: Any) -> Iterator[Any]:
    """Each way in which this evidence can hold nothing."""
    raise NotImplementedError(f"what is an empty {type(evidence).__name__}?")


@empty.register(float)
@empty.register(int)
def _(_: float) -> Iterator[Any]:
    yield float("nan")


@empty.register
def _(_: str) -> Iterator[Any]:
    return iter(())


@empty.register
def _(evidence: Timeline) -> Iterator[Any]:
    yield replace(evidence, series=(), events=())
    yield replace(evidence, series=tuple(replace(s, points=()) for s in evidence.series))
    start = min((t for s in evidence.series for t, _ in s.points), default=0.0)
    yield replace(evidence, series=tuple(_until(s, start + SECOND) for s in evidence.series))


@empty.register
def _(evidence: Series) -> Iterator[Any]:
    yield replace(evidence, points=())
    yield replace(evidence, points=evidence.points[:1])


def _until(series: Series, end: float) -> Series:
    return replace(series, points=tuple((t, v) for t, v in series.points if t <= end))


@empty.register
def _(evidence: LoadResult) -> Iterator[Any]:
    yield replace(evidence, rows=(), ended="stopped")
    begun = [row for row in evidence.rows if row.sent <= SECOND]
    cut = (replace(row, end=SECOND, outcome="abandoned", first=None) for row in begun)
    yield replace(evidence, rows=tuple(cut), ended="stopped")


@empty.register
def _(evidence: Bill) -> Iterator[Any]:
    yield replace(evidence, requests=0, kept=0)


@empty.register
def _(evidence: States) -> Iterator[Any]:
    yield replace(evidence, pods={})


@empty.register
def _(evidence: ColdStart) -> Iterator[Any]:
    yield replace(evidence, phases=())


@empty.register
def _(_: Pace) -> Iterator[Any]:
    yield Pace((), (), ())


@empty.register
def _(_: LoadPoint) -> Iterator[Any]:
    return iter(())


@empty.register(Mapping)
def _(evidence: Mapping[Any, Any]) -> Iterator[Any]:
    yield {}
    for key, value in evidence.items():
        yield from ({**evidence, key: nothing} for nothing in empty(value))


@empty.register(list)
@empty.register(tuple)
def _(evidence: list[Any] | tuple[Any, ...]) -> Iterator[Any]:
    make: Callable[..., Any] = type(evidence)
    yield make()
    for i, value in enumerate(evidence):
        yield from (make([*evidence[:i], nothing, *evidence[i + 1 :]]) for nothing in empty(value))


def stopped(load: LoadResult) -> LoadResult:
    """The same load, stopped after a second: the first requests may have been answered by then."""
    begun = [row for row in load.rows if row.sent <= SECOND]
    cut = [row if row.end <= 2 * SECOND else replace(row, end=SECOND, outcome="abandoned") for row in begun]
    return replace(load, rows=tuple(cut), ended="stopped")
