"""One run of one policy under one load on the cluster, always in the same way.

The old HPA is removed, the first replicas are ready and idle, the new HPA is active; then the recording and
the load run until the end of the day. Never starts while a server is still busy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from course.hpa.setting import policy_of
from course.study.days import Day
from labkit.evidence import Bill, Timeline, bill
from labkit.lab import NAMESPACE, SERVER, Lab
from labkit.load import LoadResult, Open
from localcluster import polling

Plan = int | str | Path
"""What a day is run under: so many replicas, or the HPA of a file."""

SERVERS = "manifests/06-tuning/server"
IDLE = f'sum(vllm:num_requests_running{{namespace="{NAMESPACE}"}}) == 0'
SECONDS = 120  # real seconds: longer than any start takes


@dataclass(frozen=True)
class Trial:
    """The recording (lab second 0 is when the load began), the load's result, and the bill."""

    run: Timeline
    load: LoadResult
    bill: Bill

    def __repr__(self) -> str:
        return f"<trial: {self.bill}>"


@runtime_checkable
class RunsTrials(Protocol):
    """A lab that does all of it itself: a grader's, which trusts no one else's bill."""

    def trial(self, choice: Plan, day: str) -> Trial:
        """Run it with the lab's own seed."""
        ...


def trial(lab: Lab, choice: Plan, day: Day, *, seed: int, watch: bool = True) -> Trial:
    """Run one policy for a whole day: `choice` is an HPA's file, or a fixed number of replicas."""
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
    run = seen.stop(load, events=day.moments)
    return Trial(run, load, bill(run, load, ttft=day.ttft, seconds=day.seconds))


def prepare(lab: Lab, choice: Plan) -> None:
    """Prepare the servers for a day: as many as the policy starts with, ready and idle."""
    kube, policy = lab.kube, policy_of(choice)
    replicas = policy if isinstance(policy, int) else policy.minimum
    kube.delete("hpa/llm-hpa")
    kube.scale(f"deployment/{SERVER}", replicas=replicas)
    counts = [f"pods app=llm-model {word}={replicas}" for word in ("total", "ready")]
    kube.until(*counts, f"deployment/{SERVER} available", seconds=SECONDS)
    metrics = lab.prometheus()
    polling.until(lambda: len(metrics.query(IDLE, may_be_empty=True)), IDLE, seconds=SECONDS, every=0.2)
    if not isinstance(choice, int):
        kube.apply(choice)
        kube.until("hpa/llm-hpa ScalingActive", seconds=SECONDS)
