"""Which pods answer a running load. Requests sent before the call are not counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from labkit.load import Running
from localcluster import polling


def requests_by_pod(running: Running, pods: Sequence[str], *, seconds: float) -> dict[str, int]:
    """Answers by pod (0 if none) to requests sent in the next `seconds` lab seconds; then ends the load."""
    since = running.progress().t
    clock = running.load.clock
    polling.until(
        lambda: not running.alive or running.progress().t >= since + seconds,
        f"{seconds:g} lab seconds of load",
        seconds=seconds / clock + 60,
        last_seen=lambda: str(running.progress()),
    )
    rows = running.stop().rows
    answered = Counter(row.pod for row in rows if row.ok and row.sent >= since)
    return {pod: answered[pod] for pod in pods}
