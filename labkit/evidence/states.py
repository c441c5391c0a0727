"""What pods went through, over lab time: the STATUS column of `kubectl get pods`, recorded as it changes.

It looks ten times per real second, so a change is known to within two lab seconds. Gaps are not filled in:
after a failed look, the last state continues.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from threading import Event

from labkit.errors import ClusterError
from labkit.kube.client import Kube
from localcluster import polling
from localcluster.background import Background

DOWN = ("Error", "OOMKilled", "Completed", "CrashLoopBackOff")
SHORTEST = 4.0  # lab seconds: the shortest back-off is 10, so less is the end of an earlier wait
EVERY = 0.1  # real seconds between two looks
PATIENCE = 150.0  # real seconds: a real kubelet's fourth try of a pull comes after 70

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
        """The moments at which any pod entered a state."""
        return sorted(span.start for spans in self.pods.values() for span in spans if span.state == state)

    def waits(self) -> list[float]:
        """How long containers were down between two runs; a wait that hasn't ended is left out."""
        return [wait for spans in self.pods.values() for wait in _waits(spans)]

    def end(self) -> float:
        """The last moment that was recorded."""
        return max((spans[-1].end for spans in self.pods.values()), default=0.0)


def _waits(spans: Sequence[Span]) -> Iterator[float]:
    """How long one pod's container was down between two runs.

    A real kubelet shows `Error` for most of it, ours shows `CrashLoopBackOff` at once. A run too short to be
    seen by any look still ends a wait: the restart count shows it.
    """
    runs = [(down, list(run)) for (down, _), run in groupby(spans, key=_down)]
    lengths = (run[-1].end - run[0].start for down, run in runs[:-1] if down)
    return (length for length in lengths if length >= SHORTEST)


def _down(span: Span) -> tuple[bool, int]:
    return span.state in DOWN, span.restarts


class Follower:
    """Follows one pod, or all of a namespace, until `stop`."""

    def __init__(self, kube: Kube, *, pod: str = "") -> None:
        self._kube = kube
        self._pod = pod
        self._looks: list[Look] = []
        self._began = time.monotonic()
        self._background = Background(self._follow, name="follower").start()

    def __repr__(self) -> str:
        return f"<following pods, {self._now():.0f} lab s>"

    def stop(self, *, after: tuple[str, int] = ("", 0)) -> States:
        """Stop once a pod has entered a state this many times; safe to repeat."""
        state, times = after
        if not self._background.over.is_set():
            polling.until(
                lambda: len(self._seen().starts(state)) >= times,
                f"pods to come into {state} {times} times",
                seconds=PATIENCE,
                last_seen=lambda: f"{len(self._seen().starts(state))} times",
            )
            self._background.stop()
        return self._seen()

    def _seen(self) -> States:
        return States(self._kube.clock, spans(list(self._looks)))

    def _now(self) -> float:
        return (time.monotonic() - self._began) * self._kube.clock

    def _follow(self, over: Event) -> None:
        while not over.is_set():
            with contextlib.suppress(ClusterError):  # the next look might succeed
                self._look()
            over.wait(EVERY)

    def _look(self) -> None:
        table = self._kube.get("pods")
        heads = ("Name", "Status", "Restarts")
        rows = zip(*(table.column(head) if table else [] for head in heads), strict=True)
        # the count comes first in RESTARTS, "2 (5s ago)"
        seen = {name: (state, count.split()[0]) for name, state, count in rows if self._pod in {"", name}}
        self._looks.append((self._now(), seen))


def spans(looks: list[Look]) -> dict[str, tuple[Span, ...]]:
    """Turn looks into the spans of each pod; a restart between two looks ends a span, too."""
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
