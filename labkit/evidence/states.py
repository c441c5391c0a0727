"""What pods went through, over lab time: the STATUS column of `kubectl get pods`, written down as it changes.

Looks ten times in each real second, so a change is known to two lab seconds. Refuses to fill gaps in: a look
that failed leaves the last state standing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from itertools import groupby

from labkit import _wait
from labkit.errors import ClusterError
from labkit.kube.client import Kube

EVERY = 0.1  # real seconds between two looks
PATIENCE = 150.0  # real seconds: the fourth try of a pull comes after 70 on a real kubelet

Look = tuple[float, dict[str, tuple[str, str]]]
"""(lab second, {pod: (its STATUS, its RESTARTS)})"""


@dataclass(frozen=True)
class Span:
    """One state of one pod, from lab second to lab second."""

    state: str
    start: float
    end: float
    restarts: int = 0
    """How often its containers had been restarted by then."""


@dataclass(frozen=True)
class States:
    """The states of each pod, in order; lab second 0 is when the recording began."""

    clock: float
    pods: dict[str, tuple[Span, ...]]

    def starts(self, state: str) -> list[float]:
        """The moments at which any pod came into a state."""
        return sorted(span.start for spans in self.pods.values() for span in spans if span.state == state)

    def end(self) -> float:
        """The last moment that was seen."""
        return max((spans[-1].end for spans in self.pods.values()), default=0.0)


class Follower:
    """Follows one pod, or all of a namespace, until `stop`."""

    def __init__(self, kube: Kube, *, pod: str = "") -> None:
        self._kube = kube
        self._pod = pod
        self._looks: list[Look] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="labkit-follower", daemon=True)
        self._began = time.monotonic()
        self._thread.start()

    def __repr__(self) -> str:
        return f"<following pods, {self._now():.0f} lab s>"

    def stop(self, *, after: tuple[str, int] = ("", 0)) -> States:
        """End it, not before a pod has come into a state so many times; safe to repeat."""
        state, times = after
        if not self._over.is_set():
            _wait.until(
                lambda: len(self._seen().starts(state)) >= times,
                f"pods to come into {state} {times} times",
                seconds=PATIENCE,
                last_seen=lambda: f"{len(self._seen().starts(state))} times",
            )
            self._over.set()
            self._thread.join()
        return self._seen()

    def _seen(self) -> States:
        return States(self._kube.clock, spans(list(self._looks)))

    def _now(self) -> float:
        return (time.monotonic() - self._began) * self._kube.clock

    def _follow(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(ClusterError):  # the next look may succeed
                self._look()
            self._over.wait(EVERY)

    def _look(self) -> None:
        table = self._kube.get("pods")
        heads = ("Name", "Status", "Restarts")
        rows = zip(*(table.column(head) if table else [] for head in heads), strict=True)
        # the count comes first in RESTARTS, "2 (5s ago)"
        seen = {name: (state, count.split()[0]) for name, state, count in rows if self._pod in {"", name}}
        self._looks.append((self._now(), seen))


def spans(looks: list[Look]) -> dict[str, tuple[Span, ...]]:
    """From looks to the spans of each pod; a restart between two looks ends a span as well."""
    return {name: _spans(name, looks) for name in dict.fromkeys(name for _, seen in looks for name in seen)}


def _spans(name: str, looks: list[Look]) -> tuple[Span, ...]:
    last = looks[-1][0]
    runs = [
        (state, next(run)[0], int(restarts))
        for (state, restarts), run in groupby(looks, key=lambda look: look[1].get(name, ("", "0")))
    ]
    ends = [start for _, start, _ in runs[1:]] + [last]
    return tuple(
        Span(state, at, end, restarts) for (state, at, restarts), end in zip(runs, ends, strict=True) if state
    )
