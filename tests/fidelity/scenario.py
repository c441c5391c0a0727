"""The scenario: a crowd comes and goes, three times over, each time under another policy.

The same seed brings the same requests of the same sizes at the same lab seconds on every rung. Uses what the
notebooks use, the learner's handle, and adds nothing to the cluster but what they apply.
"""

from __future__ import annotations

from statistics import fmean, median

import labkit
from labkit.evidence.states import States
from labkit.evidence.timeline import Timeline
from labkit.kube.client import Which
from labkit.lab import SERVER, Lab
from labkit.load import LoadResult, Open, arrivals
from tests.fidelity.observed import Observed, Run, conditions_of, events_of

POLICIES = ("static", "cpu", "queue")
HPAS = {"cpu": "manifests/04-hpa-cpu/solutions/hpa.yaml", "queue": "manifests/base/hpa.yaml"}

SERVER_OF_ALL = "manifests/04-hpa-cpu/server"
ARRIVES, LEAVES, SECONDS = 30.0, 750.0, 810.0
# Eighty come at once: then the HPA's own rate limits decide the steps, not the chance of a few requests more.
# Those who follow are a third more than two servers can serve, for long enough to see who catches up.
RATES = ((0, 0.8), (ARRIVES, 40), (ARRIVES + 2, 1.6), (LEAVES, 0.4))
SEEN_FIRST = 15.0  # what was there at the first looks is not new
BEGAN = "the load begins"
PROMISE = 10.0
"""Lab seconds to the first token."""


def run(provider: str, *, clock: float, seed: int) -> Run:
    """All policies on a lab that runs."""
    lab = labkit.connect(provider=provider, clock=clock, seed=seed)
    policies = tuple(_policy(lab, name) for name in POLICIES)
    lab.reset()
    return Run(provider, lab.session.stamp, seed, policies)


def figures(seen: Timeline, states: States, load: LoadResult) -> dict[str, float | None]:
    """The numbers to compare, by name; lab seconds but where the name says otherwise."""
    began = next(event.at for event in seen.events if event.text == BEGAN)
    desired, ready = seen.one("desired"), seen.one("ready")
    peak = desired.peak() or 0
    top = desired.first(lambda v: v == peak, after=began)
    scaled = peak > (desired.at(began) or peak)
    full = ready.first(lambda v: v >= peak, after=top or 0.0) if scaled else None
    back = desired.first(lambda v: v <= 2, after=top or 0.0) if scaled else None
    whole = load.summary()
    return {
        "crowd → first step": _after(desired.first(lambda v: v > 2, after=began), began + ARRIVES),
        "pod seen → Running": _start(states),
        "last step → all ready": _after(full, top),
        "last step → 2 again": _after(back, top),
        "ttft p50": whole.ttft.p50,
        "ttft p95": whole.ttft.p95,
        "itl p50 (ms)": whole.itl.p50 * 1000,
        "busiest pod, × the mean": _spread(load),
    }


def _policy(lab: Lab, name: str) -> Observed:
    _ready(lab, name)
    states, seen = lab.follow(), lab.record()
    crowd = arrivals.steps(RATES, seconds=SECONDS, seed=lab.session.seed)
    load = lab.load(Open(crowd), drain=120).wait()
    _settle(lab, name)
    return _observed(lab, name, seen.stop(load, events={0.0: BEGAN}), states.stop(), load)


def _ready(lab: Lab, name: str) -> None:
    """Two replicas that serve, and an autoscaler that has had its first look."""
    lab.reset()
    lab.apply(SERVER_OF_ALL)
    lab.until("deployment/llm-inference-service available", "pods app=llm-model ready=2", seconds=180)
    if name in HPAS:
        lab.apply(HPAS[name])
        lab.until("hpa/llm-hpa ScalingActive", seconds=90)


def _settle(lab: Lab, name: str) -> None:
    """Back to two pods, however many there were."""
    if name in HPAS:
        lab.until("hpa/llm-hpa desired=2", seconds=180)
    lab.until("pods app=llm-model total=2", "pods app=llm-model ready=2", seconds=180)


def _observed(lab: Lab, name: str, seen: Timeline, states: States, load: LoadResult) -> Observed:
    desired = seen.one("desired")
    top = desired.first(lambda v: v == desired.peak()) or 0.0
    objects = [lab.get(f"deployment/{SERVER}"), *lab.kube.objects("pods", which=Which("app=llm-model"))]
    objects += [lab.get("hpa/llm-hpa")] if name in HPAS else []
    return Observed(
        policy=name,
        steps=tuple(int(v) for t, v in desired.steps() if t <= top),
        attainment=load.slo(ttft=PROMISE).share,
        figures=figures(seen, states, load),
        failures=load.failures(),
        events=events_of(lab.get(f"/api/v1/namespaces/{lab.kube.namespace}/events")["items"]),
        conditions=conditions_of(objects),
        states=tuple(sorted({span.state for spans in states.pods.values() for span in spans})),
        doubts=tuple(load.doubts),
    )


def _after(moment: float | None, since: float | None) -> float | None:
    return None if moment is None or since is None else moment - since


def _start(states: States) -> float | None:
    """From a new pod's first sight to STATUS Running, the median of those that came while we looked."""
    took = [
        next(span.start for span in spans if span.state == "Running") - spans[0].start
        for spans in states.pods.values()
        if spans[0].start > SEEN_FIRST and any(span.state == "Running" for span in spans)
    ]
    return median(took) if took else None


def _spread(load: LoadResult) -> float | None:
    """How many times its fair share the busiest pod answered before the crowd's end, where nobody scaled."""
    counts: dict[str, int] = {}
    for row in load.rows:
        if row.ok and row.pod:
            counts[row.pod] = counts.get(row.pod, 0) + 1
    return max(counts.values()) / fmean(counts.values()) if len(counts) == 2 else None
