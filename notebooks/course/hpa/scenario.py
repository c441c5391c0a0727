"""The what-if model's input: a load, a policy, a server, and the delays of the loop around them.

Everything is in lab seconds (production's seconds). Refuses metrics that it has no model of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from course.hpa.gateway import Gateway
from course.hpa.policy import Controller, Policy, Target
from course.hpa.replica import Server
from labkit.errors import BadInput
from labkit.load.plan import Load, Open
from localcluster.gpus.profile import Profile

SYNC_WORK, HOP, STARTING = 0.05, 0.01, 0.55
"""Real seconds, measured on a busy laptop: one sync, a request's way there and back, a container's start."""

EAGER = ("import", "profile")
"""The phases of a start that `--enforce-eager` leaves; the weights come beside them."""

QUEUE, RUNNING = "vllm_request_queue_size", "vllm_requests_running"


@dataclass(frozen=True)
class Delays:
    """What takes time from a waiting request to a serving pod, and afterwards."""

    scrape: float = 15.0
    sync: float = 15.0
    creation: float = 4.0
    """From the new replica count to a process: schedule, pull of a cached image, start of the container."""
    cold_start: float = 111.0
    """From the process to a server that answers: weights, compilation, warm-up."""
    probe: float = 5.0
    """Period of the readiness probe; on average half of it passes until it sees the server."""
    hop: float = 0.1
    """From the client to the server and back."""
    goodbye: float = 10.0
    """How long a pod goes on before it begins to drain: its preStop."""

    @classmethod
    def of(
        cls,
        profile: Profile,
        *,
        clock: float = 1.0,
        weights_from: str = "network",
        eager: bool = False,
        **known: float,
    ) -> Delays:
        """The delays of a server on this GPU; `known` replaces defaults by measured ones.

        On a lab, `clock` stretches what is not compressed: a sync's own work and a request's network time.
        """
        start = profile.startup
        weights = profile.model.weights_bytes / start["weights_bytes_per_second"][weights_from]
        phases = sum(start[f"{name}_s"] for name in (EAGER if eager else (*EAGER, "compile", "capture")))
        real = {"sync": cls.sync + SYNC_WORK * clock, "hop": HOP * clock}
        real["creation"] = cls.creation + STARTING * clock
        return cls(**{"cold_start": weights + phases, **real, **known})


@dataclass(frozen=True)
class Requests:
    """The load: arrival times (ascending) and the size of each request, (prompt, output) tokens."""

    times: Sequence[float]
    sizes: Sequence[tuple[int, int]]
    seconds: float

    @classmethod
    def of(cls, load: Load) -> Requests:
        """Exactly the requests that a load test sends: same times, same sizes. Refuses closed loops."""
        if not isinstance(load.shape, Open):
            raise BadInput(
                "The simulator can't simulate a closed loop.",
                cause="There each request waits for an answer, so its time is not known beforehand.",
                fix="Open(arrivals.poisson(rate=1.5, seconds=600)), or ask the cluster.",
            )
        shape = load.as_json(model="")["shape"]
        return cls(shape["times"], [tuple(size) for size in shape["sizes"]], shape["seconds"])

    @classmethod
    def of_one_size(cls, times: Sequence[float], *, prompt: int = 128, output: int = 200) -> Requests:
        """Requests of equal size; the load lasts until the last one arrives."""
        return cls(times, [(prompt, output)] * len(times), times[-1] if times else 0.0)


@dataclass(frozen=True)
class Scenario:
    """One question to the model. An integer as `policy` is a fixed number of replicas."""

    requests: Requests
    policy: Policy | int
    server: Server
    delays: Delays = field(default_factory=Delays)
    controller: Controller = field(default_factory=Controller)
    gpus: int = 12
    drain: float = 600.0
    """How long the model goes on after the load."""
    host_cpu: tuple[float, float, float, float] = (1.0, 1.1, 0.01, 4.0)
    """Cores while idle, while busy, for each running sequence; and the pod's request for CPU."""
    seed: int = 0
    gateway: Gateway | None = None
    """An inference gateway in front of the servers; None: requests are spread at random, as by kube-proxy."""

    def __post_init__(self) -> None:
        unknown = [t.name for t in self.targets if t.name not in {QUEUE, RUNNING, "cpu"}]
        if unknown:
            raise BadInput(
                f"The simulator has no model of {', '.join(unknown)}.",
                cause=f"It knows {QUEUE}, {RUNNING} and cpu.",
                fix="Use one of those, or ask the cluster.",
            )

    @property
    def targets(self) -> tuple[Target, ...]:
        """The metrics of the policy; none without an autoscaler."""
        return () if isinstance(self.policy, int) else self.policy.targets

    @property
    def start(self) -> int:
        """The number of replicas that are ready at the start."""
        return self.policy if isinstance(self.policy, int) else self.policy.minimum
