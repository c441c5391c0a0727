"""A load test as series, on the time axis of a recording.

Refuses to draw a percentile of an empty window: it leaves a gap.
"""

from __future__ import annotations

from labkit.evidence.timeline import Series
from labkit.load.results import LoadResult

WIDTH = 30.0
"""Lab seconds in one window: two real seconds at the default clock."""


def load_series(result: LoadResult, *, since: float, width: float = WIDTH) -> tuple[Series, ...]:
    """Offered, answered and time to first token, each point in the middle of its window.

    `since` is the Unix time at which the recording began.
    """
    shift = (result.started - since) * result.clock + width / 2
    windows = result.windows(width)
    return (
        Series("offered", "requests/s", tuple((w.start + shift, w.offered) for w in windows), "offered"),
        Series("answered", "requests/s", tuple((w.start + shift, w.answered) for w in windows), "answered"),
        *(
            Series(
                "latency",
                "s",
                tuple((w.start + shift, getattr(w.ttft, p)) for w in windows if w.ttft.count),
                p,
            )
            for p in ("p50", "p95")
        ),
    )
