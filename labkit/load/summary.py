"""A run in figures: percentiles, SLO attainment, windows of time. Pure arithmetic over rows.

Waiting times are given as p50, p95 and p99, not as means: the tail is what users feel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.load.rows import Row
from labkit.load.workload import interpolate
from localcluster.stored import plain


@dataclass(frozen=True)
class Quantiles:
    """Median, 95th and 99th percentile and maximum of `count` values; NaN if there are none."""

    count: int
    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Quantiles:
        """Compute them; None values are left out."""
        ordered = sorted(v for v in values if v is not None)
        if not ordered:
            return cls(0, *[float("nan")] * 4)
        return cls(len(ordered), *(interpolate(ordered, q) for q in (0.5, 0.95, 0.99, 1.0)))

    def __str__(self) -> str:
        return f"{self.p50:9.3f} {self.p95:9.3f} {self.p99:9.3f} {self.max:9.3f}"


@dataclass(frozen=True)
class Slo:
    """`met` of `total` requests met the target; `share` is what a service level objective states."""

    met: int
    total: int
    promise: str

    @property
    def share(self) -> float:
        """From 0 to 1; 0 where there were no requests."""
        return self.met / self.total if self.total else 0.0

    @classmethod
    def of(cls, rows: Iterable[Row], *, ttft: float | None, itl: float | None) -> Slo:
        """Count; a request cut off by the end of the run counts only if it had already missed the target."""
        met = total = 0
        uncounted = False
        for row in rows:
            uncounted = uncounted or not (row.counted or row.itl is None)
            kept = _kept(row, ttft=ttft, itl=itl)
            if kept is not None:
                met, total = met + kept, total + 1
        limits = {"TTFT": ttft, "ITL (between events: no usage came)" if uncounted else "ITL": itl}
        said = [f"{name} ≤ {limit:g} s" for name, limit in limits.items() if limit is not None]
        return cls(met, total, " and ".join(said) or "a whole answer")

    def __repr__(self) -> str:
        return f"{self.share:.1%} of {self.total:,} requests had {self.promise}"


@dataclass(frozen=True)
class Window:
    """A stretch of the run: what was offered and how it ended. Rates are per lab second."""

    start: float
    offered: float
    answered: float
    failed: int
    in_flight: int
    tokens: float
    ttft: Quantiles


@dataclass(frozen=True, repr=False)
class Summary:
    """The figures of a run; its `repr` is a table."""

    what: str
    seconds: float
    clock: float
    requests: int
    ok: int
    rate: float
    tokens_rate: float
    ttft: Quantiles
    itl: Quantiles
    e2e: Quantiles
    failures: dict[str, int]
    abandoned: int
    not_sent: int
    lag: Quantiles
    pressure: float | None
    doubts: tuple[str, ...]
    uncounted: int = 0  # whole answers for which the server gave no token count

    @property
    def unit(self) -> str:
        """What `tokens_rate` and `itl` count: `tokens`, or `events` if the server gave no token counts."""
        some = "tokens or events" if self.uncounted < self.ok else "events"
        return some if self.uncounted else "tokens"

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**plain(self), "unit": self.unit}

    def __repr__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.failures.items())
        failed = f"{sum(self.failures.values()):,} failed{f' ({kinds})' if kinds else ''}"
        lines = [
            f"{self.what}: {self.seconds:.0f} lab s at clock {self.clock:g}",
            f"{self.requests:,} requests: {self.ok:,} whole, {failed}",
            f"{self.rate:.2f} requests/s, {self.tokens_rate:,.0f} {self.unit}/s (per lab second)",
            f"{'lab seconds':14}{'p50':>9} {'p95':>9} {'p99':>9} {'max':>9}",
            f"{'TTFT':14}{self.ttft}",
            f"{'between them' if ' ' in self.unit else f'between {self.unit}':14}{self.itl}",
            f"{'end to end':14}{self.e2e}",
            f"{'generator lag':14}{self.lag}",
        ]
        if self.uncounted:
            lines.append(
                f"{self.uncounted:,} answers came without `usage`: their events are counted, not their "
                "tokens; an event may hold several"
            )
        if self.abandoned:
            lines.append(f"{self.abandoned:,} were still unanswered when the run ended")
        if self.pressure is not None:
            lines.append(f"some task waited for a CPU {self.pressure:.0%} of the time")
        return "\n".join(lines + [f"in doubt: {doubt}" for doubt in self.doubts])


def windows(rows: Sequence[Row], *, width: float, seconds: float) -> list[Window]:
    """Divide the run into windows; a request is offered when due, and answered or failed at its end."""
    found = []
    for number in range(max(1, -int(-seconds // width))):
        start, end = number * width, (number + 1) * width
        came = [row for row in rows if start <= row.due < end]
        left = [row for row in rows if start <= row.end < end and row.outcome != "not_sent"]
        found.append(
            Window(
                start=start,
                offered=len(came) / width,
                answered=sum(row.ok for row in left) / width,
                failed=sum(row.failed for row in left),
                in_flight=sum(row.due < end <= row.end for row in rows),
                tokens=sum(row.tokens_out for row in left) / width,
                ttft=Quantiles.of(row.ttft for row in came),
            )
        )
    return found


def share_waiting(pulses: Sequence[dict[str, Any]]) -> float | None:
    """Growth of the kernel's stall counter over real time, from the first pulse to the last."""
    marks = [(pulse["real"], pulse["stalled"]) for pulse in pulses if pulse["stalled"] is not None]
    if len(marks) < 2 or marks[-1][0] <= marks[0][0]:
        return None
    return float((marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0]))


def _kept(row: Row, *, ttft: float | None, itl: float | None) -> bool | None:
    if row.outcome == "abandoned":
        waited = row.ttft if row.ttft is not None else row.e2e
        return False if ttft is not None and waited > ttft else None
    if not row.ok or row.ttft is None:
        return False
    slow_start = ttft is not None and row.ttft > ttft
    slow_tokens = itl is not None and row.itl is not None and row.itl > itl
    return not (slow_start or slow_tokens)
