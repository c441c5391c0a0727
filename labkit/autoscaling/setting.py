"""What stays the same from one what-if to the next: the server as it is deployed, and the delays around it.

>>> setting = Setting.of(deployment, nodes, clock=15)                     # doctest: +SKIP
>>> setting.ask(Load(url, Open(crowd)), "manifests/base/hpa.yaml")        # doctest: +SKIP
<what if: peak 10 replicas, p95 TTFT 55.9 s, 3,867 GPU s>

Refuses GPUs and models that there is no timing profile of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import course
from labkit.autoscaling.policy import Policy
from labkit.autoscaling.replica import Server
from labkit.autoscaling.scenario import Delays, Requests, Scenario
from labkit.autoscaling.simulator import Outcome, simulate
from labkit.errors import BadInput
from labkit.gpus.profile import Profile
from labkit.gpus.profile import load as load_profile
from labkit.gpus.roofline import PROFILES, profile_name
from labkit.kube import documents
from labkit.load import Load

GPU, PRODUCT = "nvidia.com/gpu", "nvidia.com/gpu.product"
Choice = Policy | int | str | Path
"""A policy, a file with an HPA, or a number of replicas without any autoscaler."""

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """A model server on a GPU, and how many GPUs there are."""

    server: Server
    delays: Delays
    gpus: int
    host_cpu: tuple[float, float, float, float]

    @classmethod
    def of(cls, deployment: Json, nodes: Iterable[Json], *, clock: float) -> Setting:
        """As a Deployment and the nodes have it."""
        pod = deployment["spec"]["template"]["spec"]
        container = pod["containers"][0]
        flags = flags_of(container.get("args") or [])
        cards = [node for node in nodes if int(node["status"]["allocatable"].get(GPU, 0))]
        profile = _profile(cards, flags.get("model", ""))
        delays = Delays.of(
            profile,
            clock=clock,
            weights_from=flags.get("weights-from", "network"),
            eager="enforce-eager" in flags,
            goodbye=_goodbye(container),
        )
        return cls(
            server=Server.of(profile, max_num_seqs=int(flags.get("max-num-seqs", 256))),
            delays=delays,
            gpus=sum(int(node["status"]["allocatable"][GPU]) for node in cards),
            host_cpu=_host_cpu(profile, container),
        )

    def scenario(self, load: Load, choice: Choice, *, seconds: float = 0.0, seed: int = 0) -> Scenario:
        """The question: a load under a policy, followed for `seconds` (0: ten minutes past the last one)."""
        requests = Requests.of(load)
        drain = max(0.0, seconds - requests.seconds) if seconds else Scenario.drain
        return Scenario(
            requests=requests,
            policy=policy_of(choice),
            server=self.server,
            delays=self.delays,
            gpus=self.gpus,
            host_cpu=self.host_cpu,
            drain=drain,
            seed=seed,
        )

    def ask(self, load: Load, choice: Choice, *, seconds: float = 0.0, seed: int = 0) -> Outcome:
        """What would happen."""
        return simulate(self.scenario(load, choice, seconds=seconds, seed=seed))


def policy_of(choice: Choice) -> Policy | int:
    """What a choice means; `BadInput` for a file that holds no HPA, or more than one."""
    if isinstance(choice, Policy | int):
        return choice
    found = [d.obj for d in documents.load(course.path(choice)) if d.obj["kind"] == "HorizontalPodAutoscaler"]
    if len(found) != 1:
        raise BadInput(
            f"{choice} holds {len(found)} HorizontalPodAutoscalers; the what-if model takes one.",
            fix="Name a file with one HPA, or a number of replicas.",
        )
    return Policy.of(found[0])


def flags_of(args: Sequence[str]) -> dict[str, str]:
    """`--max-num-seqs=8 --enforce-eager` by name; a flag without a value has an empty one."""
    split = (arg.removeprefix("--").partition("=") for arg in args if arg.startswith("--"))
    return {name: value for name, _, value in split}


def _profile(cards: Sequence[Json], model: str) -> Profile:
    products = {node["metadata"].get("labels", {}).get(PRODUCT, "") for node in cards}
    names = [profile_name(product, model) for product in sorted(products)]
    path = PROFILES / f"{names[0] if names else ''}.toml"
    if len(names) != 1 or not path.exists():
        where = ", ".join(sorted(products)) or "no GPU"
        raise BadInput(
            f"There is no timing profile of {model or 'this server'} on {where}.",
            cause="The what-if model knows the GPUs and models of cluster/gpu/, and nodes of one kind.",
            fix="python -m labkit.gpus.roofline writes a profile for each line of cluster/gpu/*.toml.",
        )
    return load_profile(path)


def _goodbye(container: Json) -> float:
    """How long a pod goes on before it begins to drain."""
    hook = (container.get("lifecycle") or {}).get("preStop") or {}
    return float((hook.get("sleep") or {}).get("seconds", 0))


def _host_cpu(profile: Profile, container: Json) -> tuple[float, float, float, float]:
    asked = ((container.get("resources") or {}).get("requests") or {}).get("cpu", "4")
    cpu = profile.host_cpu
    return cpu["idle_cores"], cpu["busy_cores"], cpu["sequence_cores"], float(asked)
