"""What a load test measured: every request as a row, and reasons to doubt the run.

Times are lab seconds since the start. `starved` and `doubts` say when a check on this run should answer
"inconclusive".
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from labkit import course
from labkit.errors import LoadError
from labkit.load.journal import Reader
from labkit.load.rows import Row
from labkit.load.summary import Quantiles, Slo, Summary, Window, share_waiting, windows


@dataclass(frozen=True)
class Limits:
    """Beyond these limits, the run measured the machine, not the cluster."""

    lag: float = 1.0  # 99th percentile of how late requests were sent, lab seconds
    pressure: float = 0.95  # share of the time in which some task on the machine waited for a CPU


LIMITS = Limits()


@dataclass(frozen=True, repr=False)
class LoadResult:
    """A run: `rows`, the moment it `started` (Unix time), its `clock`, and the `plan` it followed."""

    path: Path
    plan: dict[str, Any]
    started: float
    rows: tuple[Row, ...]
    pulses: tuple[dict[str, Any], ...]
    ended: str

    @classmethod
    def load(cls, path: str | Path) -> LoadResult:
        """Read a journal, even that of a killed run; raises `LoadError` if it contains no run."""
        path = course.path(path)
        return cls.of(path, Reader(path).more())

    @classmethod
    def of(cls, path: Path, lines: Iterable[dict[str, Any]]) -> LoadResult:
        """Build a result from lines already read."""
        kinds: dict[str, list[dict[str, Any]]] = {"run": [], "row": [], "pulse": [], "end": []}
        for line in lines:
            kinds[line["kind"]].append(line)
        if not kinds["run"]:
            raise LoadError(
                f"There is no load test in {path}.",
                cause="The generator never started, or this is another file.",
                fix="labkit load closed URL --users 1 --seconds 10",
            )
        head = kinds["run"][0]
        rows = tuple(sorted((Row.of(line) for line in kinds["row"]), key=lambda row: (row.due, row.id)))
        ended = kinds["end"][0]["reason"] if kinds["end"] else ""
        return cls(path, head["plan"], head["started"], rows, tuple(kinds["pulse"]), ended)

    def save(self, path: Path) -> Path:
        """Copy the journal to `path`; `LoadResult.load` reads it back."""
        return Path(shutil.copyfile(self.path, path))

    @property
    def clock(self) -> float:
        """Lab seconds per real second."""
        return float(self.plan["clock"])

    @property
    def seconds(self) -> float:
        """Lab seconds from the start to the last thing that happened."""
        last = max((row.end for row in self.rows), default=0.0)
        return max([last, *(float(pulse["t"]) for pulse in self.pulses[-1:])])

    @property
    def what(self) -> str:
        """What was sent, in words: the shape and, for a trace, how it was cut, thinned or sped up."""
        return _what(self.plan["shape"])

    @property
    def complete(self) -> bool:
        """Whether it ran to its planned end."""
        return self.ended == "done"

    @cached_property
    def lag(self) -> Quantiles:
        """How late requests were sent and how late the generator woke up, in lab seconds."""
        late = [max(0.0, float(pulse["late"])) for pulse in self.pulses]
        return Quantiles.of([row.lag for row in self.rows if row.outcome != "not_sent"] + late)

    @cached_property
    def pressure(self) -> float | None:
        """Share of the run in which some task on this machine waited for a CPU; None except on Linux."""
        return share_waiting(self.pulses)

    @property
    def starved(self) -> bool:
        """Whether the generator or its machine had too little CPU for the figures to be meaningful."""
        return self.lag.p99 > LIMITS.lag or (self.pressure or 0.0) > LIMITS.pressure

    @property
    def doubts(self) -> list[str]:
        """Why a check on this run should say "inconclusive"; empty if there is no reason."""
        found = []
        if self.lag.p99 > LIMITS.lag:
            found.append(f"requests left up to {self.lag.p99:.1f} lab s late (p99; limit {LIMITS.lag:g})")
        if (self.pressure or 0.0) > LIMITS.pressure:
            short = f"short of CPU {self.pressure:.0%} of the time (limit {LIMITS.pressure:.0%})"
            found.append(f"the machine was {short}")
        unsent = sum(row.outcome == "not_sent" for row in self.rows)
        if unsent:
            found.append(f"{unsent} arrivals were not sent: too many requests were in flight")
        if not self.complete:
            found.append(f"the run did not reach its end: {self.ended or 'the generator was killed'}")
        return found

    def failures(self) -> dict[str, int]:
        """How many failed, by kind, most frequent first."""
        return dict(Counter(row.outcome for row in self.rows if row.failed).most_common())

    def summary(self) -> Summary:
        """The run in ten lines. Latencies are those of whole answers."""
        rows, seconds = self.rows, max(self.seconds, 1e-9)
        whole = [row for row in rows if row.ok]
        return Summary(
            what=self.what,
            seconds=self.seconds,
            clock=self.clock,
            requests=len(rows),
            ok=len(whole),
            rate=len(whole) / seconds,
            tokens_rate=sum(row.tokens_out for row in rows) / seconds,
            ttft=Quantiles.of(row.ttft for row in whole),
            itl=Quantiles.of(row.itl for row in whole),
            e2e=Quantiles.of(row.e2e for row in whole),
            failures=self.failures(),
            abandoned=sum(row.outcome == "abandoned" for row in rows),
            not_sent=sum(row.outcome == "not_sent" for row in rows),
            lag=self.lag,
            pressure=self.pressure,
            doubts=tuple(self.doubts),
            uncounted=sum(row.tokens_out > 0 and not row.counted for row in whole),
        )

    def slo(self, *, ttft: float | None = None, itl: float | None = None) -> Slo:
        """How many requests met both limits (lab seconds); a failed one met neither.

        >>> result.slo(ttft=2.0, itl=0.1)           # doctest: +SKIP
        94.2 % of 1,204 requests had TTFT ≤ 2 s and ITL ≤ 0.1 s
        """
        return Slo.of(self.rows, ttft=ttft, itl=itl)

    def columns(self) -> dict[str, list[Any]]:
        """The rows as one list per field, plus `ttft`, `e2e` and `lag`, for a plot or a data frame."""
        names = [f.name for f in fields(Row)] + ["ttft", "e2e", "lag"]
        return {name: [getattr(row, name) for row in self.rows] for name in names}

    def windows(self, width: float = 15.0) -> list[Window]:
        """The run in windows of `width` lab seconds: offered, answered, failed, waiting times."""
        return windows(self.rows, width=width, seconds=self.seconds)

    def json(self) -> str:
        """The summary as JSON, for reports."""
        return json.dumps(self.summary().as_json(), indent=1)

    def __repr__(self) -> str:
        return repr(self.summary())


def _what(shape: dict[str, Any]) -> str:
    if shape["kind"] == "open":
        return f"open loop, {shape['what']}"
    steps = [f"{count} users from {time:g} s" for time, count in shape["users"]]
    return f"closed loop, {steps[0].split(' from')[0] if len(steps) == 1 else ', '.join(steps)}"
