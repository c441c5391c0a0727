"""One cold start, from "there is a new pod" to "here is the first token", phase by phase.

Nothing is modelled: the moments come from the API server (pods, as they change), from the kubelet's events
(client-go puts the nanosecond into an event's name), from the model server's own log as it is written, and
from a request. A phase is never made up: if a moment was not seen, its time counts towards the next phase.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import httpx

from labkit.errors import ClusterError, LabError
from labkit.evidence.names import unknown
from labkit.evidence.states import Span
from labkit.kube.client import Kube, Which
from labkit.load.event_stream import EventStream
from localcluster import polling
from localcluster.api.objects import KubeObject
from localcluster.api.watch import Change

PHASES = {
    "scheduled": "schedule",
    "pulled": "pull",
    "started": "create",
    "imported": "import",
    "loaded": "weights",
    "compiled": "compile",
    "warm": "warm-up",
    "ready": "ready",
    "token": "first token",
}
"""The moment that ends a phase, and the phase's name; in this order."""

PARTS = ("download", "unpack")
"""The two parts of a pull, for a kubelet that says how long each took."""

SAID = {
    "Starting to load model": "imported",
    "Loading weights took": "loaded",
    "torch.compile takes": "compiled",
    "Application startup complete": "warm",
}
"""What vLLM's log says, and the moment that it tells of."""

_ROUND = 2.0  # real seconds of one watch; the next one takes over
_LAST_WORDS = 5.0  # real seconds by which a log line can arrive after the server's answer
_SPLIT = re.compile(r"download ([\d.]+) s, unpack ([\d.]+) s")


@dataclass(frozen=True)
class ColdStart:
    """The phases of one start, in lab seconds since the pod was created."""

    pod: str
    phases: tuple[Span, ...]

    def seconds(self, phase: str) -> float:
        """How long a phase took, 0 if it did not occur; `BadInput` if no phase has that name."""
        own = [span.state for span in self.phases]
        if phase not in {*own, *PHASES.values(), *PARTS}:
            raise unknown("phase", phase, (*PHASES.values(), *PARTS, *own), holds=own)
        return sum(span.end - span.start for span in self.phases if span.state == phase)

    @property
    def total(self) -> float:
        """From the new pod to the first token."""
        return self.phases[-1].end if self.phases else 0.0

    @property
    def longest(self) -> str:
        """The phase that took longest."""
        return max(self.phases, key=lambda span: span.end - span.start).state if self.phases else ""

    def row(self) -> dict[str, int]:
        """Whole lab seconds for each phase and in total: one row of a table."""
        return {span.state: round(span.end - span.start) for span in self.phases} | {
            "total": round(self.total)
        }


def phases(moments: Mapping[str, float], *, clock: float, pulled: str = "") -> tuple[Span, ...]:
    """Turn moments (Unix time) into phases; `pulled` is the kubelet's message about the image."""
    seen = [("created", moments["created"])] + [(m, moments[m]) for m in PHASES if m in moments]
    lab = [(name, (at - moments["created"]) * clock) for name, at in seen]
    found: list[Span] = []
    for (_, start), (moment, end) in pairwise(lab):
        began = max(start, found[-1].end if found else 0.0)
        found += _split(Span(PHASES[moment], began, max(began, end)), pulled)
    return tuple(found)


def _split(span: Span, pulled: str) -> list[Span]:
    """Split a pull whose event gives both its parts; return any other phase unchanged."""
    parts = _SPLIT.search(pulled) if span.state == "pull" else None
    if not parts:
        return [span]
    middle = max(span.start, span.end - float(parts[2]))
    return [Span("download", span.start, middle), Span("unpack", middle, span.end)]


class StartWatch:
    """Watches from now on for the next new pod of the model server."""

    def __init__(self, kube: Kube, url: Callable[[], str], *, selector: str = "app=llm-model") -> None:
        self._kube = kube
        self._url = url
        self._which = Which(selector)
        self._before = {pod.name for pod in kube.objects("pods", which=self._which)}
        self._moments: dict[str, float] = {}
        self._pod = ""
        self._ready, self._said, self._over = threading.Event(), threading.Event(), threading.Event()
        self._thread(self._follow_pods)

    def __repr__(self) -> str:
        return f"<watching {self._pod or 'for a new pod'}>"

    def first_token(self, *, seconds: float = 90) -> ColdStart:
        """Wait until the pod is ready, ask it for one token, and return how long each phase took."""
        try:
            polling.until(self._ready.is_set, "a new ready pod", seconds=seconds, last_seen=self._last)
            polling.until(self._ask, "a first token", seconds=seconds, last_seen=self._last)
            self._said.wait(_LAST_WORDS)
        finally:
            self._over.set()
        said = self._events()
        return ColdStart(self._pod, phases(self._moments, clock=self._kube.clock, pulled=said))

    def stop(self) -> None:
        """Stop watching; safe to repeat."""
        self._over.set()

    def _thread(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="labkit-start-watch", daemon=True).start()

    def _last(self) -> str:
        return f"{self._pod or 'no new pod'}: {', '.join(self._moments) or 'nothing yet'}"

    def _follow_pods(self) -> None:
        while not self._over.is_set():
            try:
                for change in self._kube.watch("pods", seconds=_ROUND, which=self._which):
                    self._see(change)
            except ClusterError:  # the next round might succeed
                self._over.wait(0.2)

    def _see(self, change: Change) -> None:
        pod = change.obj
        if pod.name in self._before or (self._pod and pod.name != self._pod):
            return
        self._pod = pod.name
        self._moments.setdefault("created", change.at)
        if pod.is_true("PodScheduled"):
            self._moments.setdefault("scheduled", change.at)
        if pod.at("status.containerStatuses.0.state.running") and "started" not in self._moments:
            self._moments["started"] = change.at
            self._thread(self._follow_log)
        if pod.is_true("Ready"):
            self._moments.setdefault("ready", change.at)
            self._ready.set()

    def _follow_log(self) -> None:
        try:
            for at, line in self._kube.follow(self._pod, seconds=_ROUND * 30):
                for words, moment in SAID.items():
                    if words in line:
                        self._moments.setdefault(moment, at)
                if "warm" in self._moments or self._over.is_set():
                    return
        except LabError:  # the log is gone with its pod, so its phases count towards the next one
            return
        finally:
            self._said.set()

    def _ask(self) -> bool:
        body = {"prompt": "Hello", "max_tokens": 1, "stream": True}
        try:
            with httpx.stream(
                "POST", f"{self._url()}/v1/completions", json=body, trust_env=False, timeout=30
            ) as answer:
                events = EventStream()
                found = answer.is_success and any(
                    _token(data) for piece in answer.iter_bytes() for data in events.feed(piece)
                )
        except (httpx.HTTPError, LabError):  # the Service does not route to it yet
            return False
        if found:
            self._moments["token"] = time.time()
        return found

    def _events(self) -> str:
        """Take the moment of the pull from the kubelet's events; return the event's message."""
        found = [e for e in self._kube.objects("events") if e.at("involvedObject.name") == self._pod]
        for event in found:
            if event.at("reason") == "Pulled" and (at := moment_of(event)):
                self._moments["pulled"] = at
                return str(event.at("message"))
        return ""


def _token(data: bytes) -> bool:
    """Whether an event of a completion contains text."""
    if not data.strip().startswith(b"{"):
        return False
    choices = json.loads(data).get("choices")
    return bool(choices and choices[0].get("text"))


def moment_of(event: KubeObject) -> float | None:
    """Unix time from the name that client-go gives an event (`pod.18a3f…`, nanoseconds in hex)."""
    text = event.name.rpartition(".")[2]
    try:
        return int(text, 16) / 1e9
    except ValueError:
        return None
