"""What a notebook asks the what-if model: one policy, or a thousand, against the server that is deployed.

Answers in milliseconds and seconds. Refuses to pass for a cluster: a picture says whose figures it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labkit.autoscaling.candidates import candidates
from labkit.autoscaling.setting import Choice, Setting
from labkit.autoscaling.simulator import Outcome
from labkit.autoscaling.sweep import Question, Sweep, sweep
from labkit.evidence import Bill
from labkit.kube.client import Kube
from labkit.load import Load, Open
from labkit.view import frontier, live
from labkit.view.plot import Picture

SERVER = "deployment/llm-inference-service"
PLAY = 1000  # between the seeds of two plays


@dataclass(frozen=True)
class WhatIf:
    """The model of one lab: its server and its GPUs are read anew for each question."""

    kube: Kube
    seed: int
    stamp: str

    def setting(self) -> Setting:
        """The model server as it is deployed, on the GPUs that are there."""
        nodes = [node.raw for node in self.kube.objects("nodes")]
        return Setting.of(self.kube.object(SERVER).raw, nodes, clock=self.kube.clock)

    def ask(
        self, shape: Open, policy: Choice, *, seconds: float = 0.0, play: int = 0, **options: Any
    ) -> Outcome:
        """One policy, followed for `seconds`; another `play` changes its luck, and not the load.

        Luck is when scrapes and syncs fall due, and which server a request meets. `options` are a load's.
        """
        seed = self.seed + PLAY * play
        return self.setting().ask(self._load(shape, options), policy, seconds=seconds, seed=seed)

    def sweep(self, shape: Open, *, ttft: float, seconds: float = 0.0, **options: Any) -> Sweep:
        """All candidates, with the time that is left shown in place."""
        question = Question(self._load(shape, options), ttft, seconds, (self.seed,))
        return sweep(self.setting(), question, candidates(), live.Countdown("policies asked").tell)

    def picture(self, found: Sweep, *, title: str, real: Mapping[str, Bill]) -> Picture:
        """The sweep and its frontier, with runs of the cluster as stars."""
        dots = {name: (bill.gpu_seconds, bill.attainment) for name, bill in real.items()}
        line = [(point.gpu_seconds, point.attainment) for point in found.frontier]
        stamp = f"dots: what-if model · stars: {self.stamp}"
        cloud = frontier.Cloud(found.families(), line, dots)
        return frontier.picture(cloud, title=title, promise=found.ttft, stamp=stamp)

    def _load(self, shape: Open, options: Mapping[str, Any]) -> Load:
        return Load(shape=shape, **{"url": "http://127.0.0.1", "seed": self.seed, **options})
