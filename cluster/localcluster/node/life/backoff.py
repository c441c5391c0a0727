"""The kubelet's back-off: at once the first time, then 10 s doubling to 5 minutes, forgotten after 10.

All times are lab seconds, as in messages, including the clock that is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

INITIAL = 10.0
LONGEST = 300.0
FORGET_AFTER = 2 * LONGEST


def span(seconds: float) -> str:
    """As Go writes a duration.

    >>> span(10), span(80), span(300)
    ('10s', '1m20s', '5m0s')
    """
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


@dataclass
class BackOff:
    """The delay before the next try of one thing: a container's restart, an image's pull."""

    delay: float = 0.0
    _last: float = 0.0

    def fail(self, now: float) -> float:
        """Record a try at lab time `now`; returns the delay that applies if it fails."""
        if self.delay and now - self._last > FORGET_AFTER:
            self.delay = 0.0
        self.delay = min(self.delay * 2, LONGEST) if self.delay else INITIAL
        self._last = now
        return self.delay

    def reset(self) -> None:
        """Reset, after a success."""
        self.delay = 0.0


def restart_delay(backoff: BackOff, *, ended: float, now: float) -> float:
    """Lab seconds still to wait before a container that ended at `ended` may start again.

    The first restart is immediate; each later one waits for the delay that the previous one set.
    """
    if not backoff.delay:
        return 0.0
    return max(0.0, ended + backoff.delay - now)
