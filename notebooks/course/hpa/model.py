"""What a notebook asks the what-if model: one policy, or a thousand, against the server that is deployed.

It answers in milliseconds to seconds. A picture says whether its figures are the model's or a cluster's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from course.hpa import frontier, search
from course.hpa.candidates import candidates
from course.hpa.lower_bound import Floor, lower_bound
from course.hpa.policy import Policy
from course.hpa.search import Question, Sweep
from course.hpa.setting import Choice, Setting, policy_of
from course.hpa.simulator import Outcome
from labkit.evidence import Bill
from labkit.kube.client import Kube
from labkit.lab import Lab
from labkit.load import Load, Open, Workload
from labkit.view import live, notebook
from labkit.view.picture import Picture

SERVER = "deployment/llm-inference-service"
NONE: Mapping[str, Bill] = MappingProxyType({})
USUAL = Workload()
PLAY = 1000  # distance between the seeds of two plays


@dataclass(frozen=True)
class WhatIf:
    """The model of one lab, whose server and GPUs are read again for each question."""

    kube: Kube
    seed: int
    stamp: str

    def setting(self) -> Setting:
        """The model server as deployed, on the GPUs that are there."""
        nodes = [node.raw for node in self.kube.objects("nodes")]
        return Setting.of(self.kube.object(SERVER).raw, nodes, clock=self.kube.clock)

    def ask(  # noqa: PLR0913 - as `what_if`
        self,
        shape: Open,
        policy: Choice,
        *,
        seconds: float = 0.0,
        play: int = 0,
        target: float | None = None,
        workload: Workload = USUAL,
        gateway: str | Path | None = None,
    ) -> Outcome:
        """As `what_if`."""
        seed, asked = self.seed + PLAY * play, policy_of(policy)
        if target is not None and isinstance(asked, Policy):
            asked = asked.with_target(target)
        load = self._load(shape, workload)
        return self.setting().ask(load, asked, seconds=seconds, seed=seed, gateway=gateway)

    def sweep(self, shape: Open, *, ttft: float, seconds: float = 0.0) -> Sweep:
        """Try all candidates, showing the time left in place."""
        question = Question(self._load(shape), ttft, seconds, (self.seed,))
        return search.sweep(self.setting(), question, candidates(), live.Countdown("policies asked").tell)

    def floor(self, shape: Open, *, ttft: float, share: float, seconds: float = 0.0) -> Floor:
        """As `floor`."""
        scenario = self.setting().scenario(self._load(shape), 1, seconds=seconds)
        return lower_bound(scenario, ttft=ttft, share=share)

    def picture(self, found: Sweep, *, title: str, real: Mapping[str, Bill]) -> Picture:
        """The sweep and its frontier, with the cluster's runs as stars."""
        dots = {name: (bill.gpu_seconds, bill.attainment) for name, bill in real.items()}
        line = [(point.gpu_seconds, point.attainment) for point in found.frontier]
        stamp = f"dots: what-if model · stars: {self.stamp}"
        cloud = frontier.Cloud(found.families(), line, dots)
        return frontier.picture(cloud, title=title, promise=found.ttft, stamp=stamp)

    def _load(self, shape: Open, workload: Workload = USUAL) -> Load:
        return Load("http://127.0.0.1", shape, workload, seed=self.seed)


@runtime_checkable
class WhatIfLab(Protocol):
    """A lab that asks the model itself: a grader's, which trusts no one else's answer."""

    def what_if(self, shape: Open, policy: Choice, **options: Any) -> Outcome:
        """As `what_if`, with all its options."""
        ...


def what_if(  # noqa: PLR0913 - each is an option of a question
    lab: Lab,
    shape: Open,
    policy: Choice,
    *,
    seconds: float = 0.0,
    play: int = 0,
    target: float | None = None,
    workload: Workload = USUAL,
    gateway: str | Path | None = None,
) -> Outcome:
    """Ask the model how a load would fare under a policy: an HPA's file, or a number of replicas.

    It follows the load for `seconds` of lab time, or to its end. `target` replaces that of the HPA's (only)
    metric. Another `play` draws other times for scrapes and syncs, and other servers for requests; the load
    stays the same. `workload` says how large the requests are, as for `lab.load`. With `gateway`, the
    configuration of an endpoint picker, an inference gateway stands before the servers: see `picker`.
    """
    asks = lab.what_if if isinstance(lab, WhatIfLab) else _of(lab).ask
    return asks(shape, policy, seconds=seconds, play=play, target=target, workload=workload, gateway=gateway)


def sweep(lab: Lab, shape: Open, *, ttft: float, seconds: float = 0.0) -> Sweep:
    """Ask the model about a thousand policies: share served within `ttft` seconds, and GPU-seconds."""
    return _of(lab).sweep(shape, ttft=ttft, seconds=seconds)


def floor(lab: Lab, shape: Open, *, ttft: float, share: float, seconds: float = 0.0) -> Floor:
    """The fewest GPU-seconds with which any autoscaler could serve `share` of a load in `ttft` lab seconds.

    It is computed for the server as deployed, and nothing goes below it: see `lower_bound`. `seconds` as for
    `what_if`.
    """
    return _of(lab).floor(shape, ttft=ttft, share=share, seconds=seconds)


def plot_frontier(lab: Lab, found: Sweep, *, title: str, real: Mapping[str, Bill] = NONE) -> None:
    """Draw a sweep: promises kept against GPU-seconds, the frontier, and the cluster's runs (`real`)."""
    notebook.show(_of(lab).picture(found, title=title, real=real))


def _of(lab: Lab) -> WhatIf:
    return WhatIf(lab.kube, lab.session.seed, lab.session.stamp)
