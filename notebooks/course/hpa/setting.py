"""What stays the same from one what-if to the next: the server as deployed, and the delays around it.

>>> setting = Setting.of(deployment, nodes, clock=15)                     # doctest: +SKIP
>>> setting.ask(Load(url, Open(crowd)), "manifests/base/hpa.yaml")        # doctest: +SKIP
<what if: peak 10 replicas, p95 TTFT 55.9 s, 3,867 GPU s>

Refuses GPUs and models without a timing profile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course.hpa.gateway import Gateway
from course.hpa.policy import Policy
from course.hpa.replica import Server
from course.hpa.scenario import Delays, Requests, Scenario
from course.hpa.simulator import Outcome, simulate
from labkit import course
from labkit.errors import BadInput
from labkit.kube import documents
from labkit.load import Load
from localcluster.api import JsonLike
from localcluster.gpus.profile import Profile
from localcluster.gpus.profile import load as load_profile
from localcluster.gpus.roofline import PROFILES, profile_name

GPU, PRODUCT = "nvidia.com/gpu", "nvidia.com/gpu.product"
Choice = Policy | int | str | Path
"""A policy, a file with an HPA, or a number of replicas without any autoscaler."""


@dataclass(frozen=True)
class Setting:
    """A model server on a GPU, and how many GPUs there are."""

    server: Server
    delays: Delays
    gpus: int
    host_cpu: tuple[float, float, float, float]
    clock: float = 1.0

    @classmethod
    def of(cls, deployment: JsonLike, nodes: Iterable[JsonLike], *, clock: float) -> Setting:
        """Read it from a Deployment and the nodes."""
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
            clock=clock,
        )

    def scenario(
        self,
        load: Load,
        choice: Choice,
        *,
        seconds: float = 0.0,
        seed: int = 0,
        gateway: str | Path | None = None,
    ) -> Scenario:
        """The scenario: a load under a policy, for `seconds` (0: ten minutes past the last request).

        `gateway` is the configuration of an inference gateway's picker, which stands before the servers then.
        """
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
            gateway=None if gateway is None else Gateway.of(gateway, clock=self.clock),
        )

    def ask(self, load: Load, choice: Choice, **options: Any) -> Outcome:
        """Ask the model what would happen; the options are those of `scenario`."""
        return simulate(self.scenario(load, choice, **options))


def policy_of(choice: Choice) -> Policy | int:
    """The policy that a choice means; `BadInput` for a file without exactly one HPA."""
    if isinstance(choice, Policy | int):
        return choice
    found = [d.obj for d in documents.load(choice) if d.obj["kind"] == "HorizontalPodAutoscaler"]
    if len(found) != 1:
        raise BadInput(
            f"{choice} contains {len(found)} HorizontalPodAutoscalers; the what-if model needs exactly one.",
            fix="Name a file with one HPA, or a number of replicas.",
        )
    return Policy.of(found[0])


def flags_of(args: Sequence[str]) -> dict[str, str]:
    """`--max-num-seqs=8 --enforce-eager` by name; a flag without a value has an empty one."""
    split = (arg.removeprefix("--").partition("=") for arg in args if arg.startswith("--"))
    return {name: value for name, _, value in split}


def _profile(cards: Sequence[JsonLike], model: str) -> Profile:
    products = {node["metadata"].get("labels", {}).get(PRODUCT, "") for node in cards}
    names = [profile_name(product, model) for product in sorted(products)]
    path = course.path(PROFILES) / f"{names[0] if names else ''}.toml"
    if len(names) != 1 or not path.exists():
        where = ", ".join(sorted(products)) or "no GPU"
        raise BadInput(
            f"There is no timing profile of {model or 'this server'} on {where}.",
            cause="The what-if model knows only listed GPUs and models, and nodes of one kind.",
            fix="cluster/localcluster/data/gpu/README.md says how to add one.",
        )
    return load_profile(path)


def _goodbye(container: JsonLike) -> float:
    """How long a pod continues before it starts to drain."""
    hook = (container.get("lifecycle") or {}).get("preStop") or {}
    return float((hook.get("sleep") or {}).get("seconds", 0))


def _host_cpu(profile: Profile, container: JsonLike) -> tuple[float, float, float, float]:
    asked = ((container.get("resources") or {}).get("requests") or {}).get("cpu", "4")
    cpu = profile.host_cpu
    return cpu["idle_cores"], cpu["busy_cores"], cpu["sequence_cores"], float(asked)
