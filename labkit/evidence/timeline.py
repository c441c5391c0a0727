"""Series over lab time: what plots draw and checks judge.

Times are lab seconds since the recording began (real seconds times the clock); values carry their unit.
Fetches nothing: it is given what was seen. Refuses a misspelt name: an empty series would look like something
that never happened.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from labkit.evidence.names import unknown
from labkit.metrics.series import Series

NAMES = (
    "desired",
    "ready",
    "minimum",
    "gpus",
    "cpu",
    "gpu",
    "queue",
    "queue average",
    "gateway queue",
    "offered",
    "answered",
    "latency",
    "in flight",
    "predicted",
)
"""Every series that labkit makes. A recording may lack some: nothing of that kind was there to be seen."""


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
