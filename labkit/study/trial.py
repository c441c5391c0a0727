"""One run of one policy under one load on the cluster, always in the same way.

The old HPA goes, the first replicas are ready and idle, the new HPA is active; then the recording, the load,
and lab time up to the end of the day. Refuses to begin while a server still has something to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from labkit import _wait, course
from labkit.autoscaling.setting import policy_of
from labkit.evidence import Bill, Timeline, bill
from labkit.lab import NAMESPACE, SERVER, Lab
from labkit.load import LoadResult, Open
from labkit.study.days import Day

Plan = int | str | Path
"""What a day is run under: so many replicas, or the HPA of a file."""

SERVERS = "manifests/06-tuning/server"
IDLE = f'sum(vllm:num_requests_running{{namespace="{NAMESPACE}"}}) == 0'
SECONDS = 120  # real: longer than any start takes


@dataclass(frozen=True)
class Trial:
    """What was recorded (lab second 0 is when the load began), what was sent, and the bill."""

    run: Timeline
    load: LoadResult
    bill: Bill

    def __repr__(self) -> str:
        return f"<trial: {self.bill}>"


@runtime_checkable
class RunsTrials(Protocol):
    """A lab that does all of it by itself: a grader's, which takes nobody's word for a bill."""

    def trial(self, choice: Plan, day: str) -> Trial:
        """Run it, with the lab's own seed."""
        ...


def trial(lab: Lab, choice: Plan, day: Day, *, seed: int, watch: bool = True) -> Trial:
    """Run it, for as long as the day is: `choice` is an HPA's file, or a number of replicas that are held."""
    if isinstance(lab, RunsTrials):
        return lab.trial(choice, day.name)
    prepare(lab, choice)
    coming = day.arrivals(seed)
    seen = lab.record()
    users = lab.load(Open(coming), seed=seed, drain=day.seconds - coming.seconds)
    if watch:
        lab.watch("hpa", "deployment", until=users, seconds=2 * day.seconds / lab.clock + SECONDS)
    load = users.wait()
    seen.reach(day.seconds, since=load.started)
    recorded = seen.stop(load, events=day.moments)
    run = recorded.since((load.started - recorded.began) * lab.clock)
    return Trial(run, load, bill(run, load, ttft=day.ttft, seconds=day.seconds))


def prepare(lab: Lab, choice: Plan) -> None:
    """Bring the servers to where a day begins: as many as the policy starts with, ready and idle."""
    kube, policy = lab.kube, policy_of(choice)
    replicas = policy if isinstance(policy, int) else policy.minimum
    kube.delete("hpa/llm-hpa")
    kube.scale(f"deployment/{SERVER}", replicas=replicas)
    counts = [f"pods app=llm-model {word}={replicas}" for word in ("total", "ready")]
    kube.until(*counts, f"deployment/{SERVER} available", seconds=SECONDS)
    metrics = lab.prometheus()
    _wait.until(lambda: len(metrics.query(IDLE, may_be_empty=True)), IDLE, seconds=SECONDS, every=0.2)
    if not isinstance(choice, int):
        kube.apply(course.path(choice))
        kube.until("hpa/llm-hpa ScalingActive", seconds=SECONDS)
