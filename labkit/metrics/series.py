"""What a query returns: one sample for each series (`Sample`), or a quantity over time (`Series`).

A sample's time is Unix time; a series counts lab seconds from its start. Gaps are not filled:
where Prometheus has no sample, there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

Point = tuple[float, float]
"""(lab seconds since the recording began, value)"""


@dataclass(frozen=True, repr=False)
class Sample:
    """One value at one moment."""

    labels: Mapping[str, str]
    value: float
    at: float

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Sample:
        """Build a sample from an element of Prometheus' `vector`."""
        at, value = raw["value"]
        return cls(dict(raw["metric"]), float(value), float(at))

    def __repr__(self) -> str:
        return f"{selector(self.labels)} {self.value:g}"


@dataclass(frozen=True)
class Series:
    """One quantity over time; between two points it keeps the earlier value (a step)."""

    name: str
    unit: str
    points: tuple[Point, ...] = ()
    label: str = ""
    """What distinguishes it from other series of its name: a pod, a percentile."""

    @classmethod
    def of(cls, raw: Mapping[str, Any], *, start: float, clock: float) -> Series:
        """Build a series from an element of Prometheus' `matrix`; its zero is `start` (Unix time)."""
        labels = raw["metric"]
        points = tuple(((float(at) - start) * clock, float(value)) for at, value in raw["values"])
        return cls(labels.get("__name__", "value"), "", points, labels.get("pod", ""))

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


@dataclass(frozen=True, repr=False)
class Rows:
    """The samples of an instant query; prints one line for each."""

    query: str
    samples: Sequence[Sample]
    notes: Sequence[str] = ()  # warnings that Prometheus sent along

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def by(self, label: str) -> dict[str, float]:
        """Values by one label: `rows.by("pod")`; those without the label are under ""."""
        return {s.labels.get(label, ""): s.value for s in self.samples}

    def __repr__(self) -> str:
        return "\n".join([*(repr(s) for s in self.samples), *(f"note: {n}" for n in self.notes)])


def selector(labels: Mapping[str, str]) -> str:
    """Labels as PromQL writes them: `up{job="pods"}`."""
    name = labels.get("__name__", "")
    rest = ", ".join(f'{k}="{v}"' for k, v in sorted(labels.items()) if k != "__name__")
    return name + ("{" + rest + "}" if rest or not name else "")


def area(points: Sequence[Point], start: float, end: float) -> float:
    """A step curve added up over time; before its first point it is 0."""
    spans = pairwise([*points, (max(end, points[-1][0]), 0.0)] if points else [])
    return sum(max(0.0, min(t1, end) - max(t0, start)) * value for (t0, value), (t1, _) in spans)
