"""The kubelet's back-off: at once the first time, then 10 s doubling to 5 minutes, forgotten after 10.

Its numbers are lab seconds, as in the messages that people read; so is the clock that it is handed.
"""

from __future__ import annotations

from dataclasses import dataclass

INITIAL = 10.0
LONGEST = 300.0
FORGET_AFTER = 2 * LONGEST


@dataclass
class BackOff:
    """The delay before the next try of one thing: a container's restart, an image's pull."""

    delay: float = 0.0
    _last: float = 0.0

    def fail(self, now: float) -> float:
        """Note a try at lab time `now` and return the delay that its failure will cost."""
        if self.delay and now - self._last > FORGET_AFTER:
            self.delay = 0.0
        self.delay = min(self.delay * 2, LONGEST) if self.delay else INITIAL
        self._last = now
        return self.delay

    def reset(self) -> None:
        """Start over, after a success that counts."""
        self.delay = 0.0


def restart_delay(backoff: BackOff, *, ended: float, now: float) -> float:
    """Lab seconds still to wait before a container that ended at `ended` may start again.

    The first restart is immediate; each later one waits out the delay that the one before it earned.
    """
    if not backoff.delay:
        return 0.0
    return max(0.0, ended + backoff.delay - now)
