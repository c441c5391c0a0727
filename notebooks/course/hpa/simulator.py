"""What if? The whole loop as a model: arrivals, queues, batching, scrapes, syncs, cold starts, drains.

>>> outcome = simulate(Scenario(requests, policy, server))        # doctest: +SKIP
>>> outcome                                                       # doctest: +SKIP
<what if: peak 10 replicas, p95 TTFT 141.2 s, 7,312 GPU s>

A discrete-event model that takes milliseconds for minutes; the HPA in it is `arithmetic`, the same one that
the ledger compares with the real controller. It predicts but proves nothing: the cluster has the last word.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from course.hpa.arithmetic import decide
from course.hpa.decision import Decision
from course.hpa.fleet import Fleet, SimPod
from course.hpa.limits import History
from course.hpa.picker import Picker
from course.hpa.policy import Policy
from course.hpa.readings import Look
from course.hpa.replica import Request
from course.hpa.scenario import Scenario
from labkit.evidence.timeline import Timeline
from labkit.metrics.series import Series, area

ARRIVAL, STEP, SCRAPE, SYNC, RETRY, SEND = range(6)
LOOK = 3.0  # lab seconds between two points of the queue's series


@dataclass(frozen=True, repr=False)
class Outcome:
    """The model's result: times in lab seconds, requests in order of arrival."""

    scenario: Scenario
    requests: tuple[Request, ...]
    decisions: tuple[Decision, ...]
    desired: tuple[tuple[float, float], ...]
    ready: tuple[tuple[float, float], ...]
    queue: tuple[tuple[float, float], ...]
    gpu_seconds: float
    seconds: float
    held: tuple[tuple[float, float], ...] = ()
    """How many requests the gateway held, at each change."""

    def __repr__(self) -> str:
        peak = max(n for _, n in self.desired)
        wait = f"p95 TTFT {self.ttft(0.95):.1f} s"
        return f"<what if: peak {peak:.0f} replicas, {wait}, {self.gpu_seconds:,.0f} GPU s>"

    def ttft(self, share: float) -> float:
        """The TTFT that this share of the requests stayed under; infinite for requests without an answer."""
        waits = sorted(request.first - request.arrival for request in self.requests)
        if not waits:
            return math.nan
        return waits[min(len(waits) - 1, math.ceil(share * len(waits)) - 1)]

    def attainment(self, *, ttft: float) -> float:
        """Share of the requests whose first token came within `ttft`."""
        kept = sum(r.first - r.arrival <= ttft for r in self.requests)
        return kept / len(self.requests) if self.requests else 1.0

    @property
    def curve(self) -> Series:
        """The replicas asked for, for `lab.plot(run, predicted=[…])`."""
        return Series("predicted", "replicas", self.desired, "what-if model")

    def replica_seconds(self, until: float | None = None) -> float:
        """Ready replicas, added up over time."""
        return area(self.ready, 0.0, self.seconds if until is None else until)

    def timeline(self, *, stamp: str) -> Timeline:
        """The result as series, which `lab.plot` draws like those of a real run."""
        series = (
            Series("desired", "replicas", self.desired, "what if"),
            Series("ready", "replicas", self.ready, "what if"),
            Series("queue average", "requests per pod", self.queue, "what if"),
            *([Series("gateway queue", "requests", self.held, "what if")] if self.held else []),
        )
        return Timeline(1.0, stamp, series)


def simulate(scenario: Scenario) -> Outcome:
    """Simulate the scenario."""
    return _Run(scenario).play()


class _Run:
    """One simulated play of one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.rng = random.Random(scenario.seed)
        self.fleet = Fleet(scenario, self.rng)
        self.requests = _requests(scenario)
        self.history: History | None = None
        self.decisions: list[Decision] = []
        self.desired = [(0.0, float(scenario.start))]
        self.queue: list[tuple[float, float]] = []
        self.picker = Picker(scenario.gateway, self.fleet, self.rng) if scenario.gateway else None
        self.held = [(0.0, 0.0)] if self.picker else []
        self.end = scenario.requests.seconds + scenario.drain
        self._events: list[tuple[float, int, int, object]] = []
        self._order = 0
        self.looks_at = 0.0

    def play(self) -> Outcome:
        delays = self.scenario.delays
        if self.requests:
            self._at(self.requests[0].arrival, ARRIVAL, 0)
        for pod in self.fleet.pods:
            pod.offset = self.rng.uniform(0, delays.scrape)
            self._at(pod.offset, SCRAPE, pod)
        if isinstance(self.scenario.policy, Policy):
            self._at(self.rng.uniform(0, delays.sync), SYNC, None)
        while self._events:
            at, kind, _, what = heapq.heappop(self._events)
            if at > self.end:
                break
            self._happen(at, kind, what)
        return self._outcome()

    def _happen(self, at: float, kind: int, what: object) -> None:
        if self.picker:
            self.picker.look(at)
        if kind == STEP:
            assert isinstance(what, SimPod)
            if what.replica.until == at:  # otherwise the run of steps was cut short, and this is its old end
                self.fleet.finish(what)
                self._follow(what)
        elif kind in {ARRIVAL, RETRY}:
            assert isinstance(what, int)
            self._arrive(at, what, again=kind == RETRY)
        elif kind == SEND:
            self._send(at)
        elif kind == SCRAPE:
            assert isinstance(what, SimPod)
            if what.gone == math.inf:
                self.fleet.scrape(what)
                self._at(at + self.scenario.delays.scrape, SCRAPE, what)
        else:
            self._sync(at)

    def _arrive(self, at: float, number: int, *, again: bool) -> None:
        request = self.requests[number]
        if self.picker and (self.picker.holds or self.picker.sees(at)):
            self.picker.held.append(request)
            self._send(at)
        elif pod := None if self.picker else self.fleet.take(request, at):
            self._follow(pod)
        else:
            self._at(at + 1.0, RETRY, number)  # no pod is ready: the client tries again
        if not again and number + 1 < len(self.requests):
            self._at(self.requests[number + 1].arrival, ARRIVAL, number + 1)

    def _send(self, at: float) -> None:
        """Let the picker send what it may; what it holds on to it tries again with its next look."""
        assert self.picker
        for pod in self.picker.send(at):
            self._follow(pod)
        if self.picker.held and self.picker.next > self.looks_at:
            self.looks_at = self.picker.next
            self._at(self.looks_at, SEND, None)
        if len(self.picker.held) != self.held[-1][1]:
            self.held.append((at, float(len(self.picker.held))))

    def _sync(self, at: float) -> None:
        scenario, policy = self.scenario, self.scenario.policy
        assert isinstance(policy, Policy)
        pods = tuple(self.fleet.seen(at))
        staying = sum(not pod.leaving for pod in pods)
        current = int(self.desired[-1][1])
        readings = tuple(self.fleet.reading(target.name, at) for target in policy.targets)
        look = Look(at=at, current=current, pods=pods, readings=readings, existing=staying)
        decision, self.history = decide(policy, look, self.history, controller=scenario.controller)
        self.decisions.append(decision)
        self.queue.append((at, sum(len(p.replica.waiting) for p in self.fleet.alive) / max(1, staying)))
        if decision.scales:
            self.desired.append((at, float(decision.desired)))
            for pod in self.fleet.resize(decision.desired, at):
                if pod.serves < math.inf:
                    self._at(pod.serves + pod.offset, SCRAPE, pod)
        self._at(at + scenario.delays.sync, SYNC, None)

    def _follow(self, pod: SimPod) -> None:
        if pod.replica.until < math.inf:
            self._at(pod.replica.until, STEP, pod)

    def _at(self, at: float, kind: int, what: object) -> None:
        self._order += 1
        heapq.heappush(self._events, (at, kind, self._order, what))

    def _outcome(self) -> Outcome:
        hop = self.scenario.delays.hop
        for request in self.requests:
            request.arrival -= hop / 2
            request.first += hop / 2
            request.end += hop / 2
        return Outcome(
            scenario=self.scenario,
            requests=tuple(self.requests),
            decisions=tuple(self.decisions),
            desired=tuple(self.desired),
            ready=_ready(self.fleet.pods),
            queue=tuple(self.queue),
            gpu_seconds=self.fleet.gpu_seconds(self.end),
            seconds=self.end,
            held=tuple(self.held),
        )


def _requests(scenario: Scenario) -> list[Request]:
    hop = scenario.delays.hop
    asked = zip(scenario.requests.times, scenario.requests.sizes, strict=True)
    return [Request(time + hop / 2, prompt, output) for time, (prompt, output) in asked]


def _ready(pods: Sequence[SimPod]) -> tuple[tuple[float, float], ...]:
    """How many pods were ready, as steps at each change."""
    changes: dict[float, float] = {0.0: 0.0}
    for pod in pods:
        if pod.ready < pod.leaving:
            changes[pod.ready] = changes.get(pod.ready, 0.0) + 1
            if pod.leaving < math.inf:
                changes[pod.leaving] = changes.get(pod.leaving, 0.0) - 1
    points, count = [], 0.0
    for at in sorted(changes):
        count += changes[at]
        if at < math.inf:
            points.append((at, count))
    return tuple(points)
