"""Series over lab time: what plots draw and checks judge.

Times are lab seconds since the recording began (real seconds times the clock); values carry their unit.
Fetches nothing: it is given what was seen. Refuses a misspelt name: an empty series would look like something
that never happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from labkit.evidence.names import unknown

NAMES = (
    "desired",
    "ready",
    "minimum",
    "gpus",
    "cpu",
    "gpu",
    "queue",
    "queue average",
    "offered",
    "answered",
    "latency",
    "in flight",
    "predicted",
)
"""Every series that labkit makes. A recording may lack some: nothing of that kind was there to be seen."""

Point = tuple[float, float]
"""(lab seconds since the recording began, value)"""


@dataclass(frozen=True)
class Series:
    """One quantity over time; between two points it keeps the earlier value (a step)."""

    name: str
    unit: str
    points: tuple[Point, ...] = ()
    label: str = ""
    """What distinguishes it from other series of its name: a pod, a percentile."""

    def at(self, time: float) -> float | None:
        """The value at `time`; None before the first point."""
        value = None
        for when, what in self.points:
            if when > time:
                break
            value = what
        return value

    def peak(self) -> float | None:
        """The highest value; None where there is none."""
        return max((v for _, v in self.points), default=None)

    def last(self) -> float | None:
        """The newest value; None where there is none."""
        return self.points[-1][1] if self.points else None

    def first(self, test: Callable[[float], bool], *, after: float = 0.0) -> float | None:
        """The first moment, not before `after`, at which `test` is true for the value."""
        return next((t for t, v in self.points if t >= after and test(v)), None)

    def since(self, moment: float) -> Series:
        """The same series with that moment as its new zero."""
        before = self.at(moment)
        kept = ((0.0, before),) if before is not None else ()
        return replace(self, points=(*kept, *((t - moment, v) for t, v in self.points if t > moment)))

    def area(self, start: float, end: float) -> float:
        """Value times lab seconds from `start` to `end`: of replicas, the replica-seconds."""
        return area(self.points, start, end)

    def apart(self, other: Series, end: float) -> float:
        """The average distance between two series from 0 to `end`; each is 0 before its first point."""
        moments = sorted({0.0, *(t for t, _ in (*self.points, *other.points) if 0 < t < end)})
        gaps = tuple((t, abs((self.at(t) or 0.0) - (other.at(t) or 0.0))) for t in moments)
        return area(gaps, 0.0, end) / end

    def steps(self) -> tuple[Point, ...]:
        """Only the points at which the value changed, the first one included."""
        kept: list[Point] = []
        for point in self.points:
            if not kept or kept[-1][1] != point[1]:
                kept.append(point)
        return tuple(kept)


def area(points: Sequence[Point], start: float, end: float) -> float:
    """A step curve added up over time; before its first point it is 0."""
    spans = pairwise([*points, (max(end, points[-1][0]), 0.0)] if points else [])
    return sum(max(0.0, min(t1, end) - max(t0, start)) * value for (t0, value), (t1, _) in spans)


@dataclass(frozen=True)
class Event:
    """Something that happened at one moment."""

    at: float
    text: str


@dataclass(frozen=True)
class Timeline:
    """All series of one recording, with its events, its clock and the stamp of the lab it was made on.

    `began` is the Unix time of lab second 0 (0 if unknown); `load` describes what was sent.
    """

    clock: float
    stamp: str
    series: tuple[Series, ...] = ()
    events: tuple[Event, ...] = ()
    began: float = 0.0
    load: str = ""

    def of(self, name: str) -> tuple[Series, ...]:
        """Every series called `name`, one per label; raises `BadInput` if no series has that name."""
        found = tuple(s for s in self.series if s.name == name)
        if not found and name not in NAMES:
            own = [s.name for s in self.series]
            raise unknown("series", name, (*own, *NAMES), holds=own)
        return found

    def one(self, name: str) -> Series:
        """The series called `name`; an empty one if nothing of that kind was recorded.

        Raises `BadInput` if no series has that name.
        """
        return next(iter(self.of(name)), Series(name, ""))

    def total(self, name: str) -> Series:
        """The sum of all series called `name`, at each moment at which one of them has a point."""
        parts = self.of(name)
        times = sorted({t for s in parts for t, _ in s.points})
        points = tuple((t, sum(s.at(t) or 0.0 for s in parts)) for t in times)
        return Series(name, parts[0].unit if parts else "", points, label="total")

    def end(self) -> float:
        """Lab seconds of the newest point."""
        return max((s.points[-1][0] for s in self.series if s.points), default=0.0)

    def since(self, moment: float) -> Timeline:
        """The same recording with another zero, such as the moment at which a load began."""
        return replace(
            self,
            series=tuple(s.since(moment) for s in self.series),
            events=tuple(replace(event, at=event.at - moment) for event in self.events),
            began=self.began + moment / self.clock if self.began else 0.0,
        )

    def with_series(self, more: Iterable[Series]) -> Timeline:
        """The same recording with further series, such as those of a load run."""
        return replace(self, series=(*self.series, *more))

    def with_event(self, at: float, text: str) -> Timeline:
        """The same recording with one more event."""
        return replace(self, events=(*self.events, Event(at, text)))
