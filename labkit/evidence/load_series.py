"""A load test as series, on the time axis of a recording.

A window without requests has no percentile, so it leaves a gap.
"""

from __future__ import annotations

from labkit.load.results import LoadResult
from labkit.metrics.series import Series

WIDTH = 30.0
"""Lab seconds in one window: two real seconds at the default clock."""


def load_series(result: LoadResult, *, shift: float, width: float = WIDTH) -> tuple[Series, ...]:
    """Offered, answered and time to first token, each point in the middle of its window.

    `shift` is when the load began, in lab seconds of the recording.
    """
    middle = shift + width / 2
    windows = result.windows(width)
    return (
        Series("offered", "requests/s", tuple((w.start + middle, w.offered) for w in windows), "offered"),
        Series("answered", "requests/s", tuple((w.start + middle, w.answered) for w in windows), "answered"),
        *(
            Series(
                "latency",
                "s",
                tuple((w.start + middle, getattr(w.ttft, p)) for w in windows if w.ttft.count),
                p,
            )
            for p in ("p50", "p95")
        ),
    )
