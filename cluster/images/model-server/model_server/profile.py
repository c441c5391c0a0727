"""The timing profile that the image carries: step lengths, memory, start-up phases, host CPU.

Times are lab seconds: those of the real GPU. Refuses to guess a profile for a GPU or model that it has no
file for. How the numbers came about stands in cluster/localcluster/data/gpu/README.md of the course.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "profiles"
MIB = 2**20


class StartError(Exception):
    """Why the server can't start: printed as it is, exit status 1."""


@dataclass(frozen=True)
class Work:
    """What one step has to do: sequences, new tokens, context tokens read, query-key pairs of prefill."""

    sequences: int
    tokens: int
    context: int
    pairs: float = 0.0


@dataclass(frozen=True)
class StepTiming:
    """Coefficients of the step's length in seconds."""

    overhead_s: float
    sequence_s: float
    weights_s: float
    token_s: float
    context_token_s: float
    pair_s: float

    def seconds(self, work: Work) -> float:
        """Length of a step: fixed cost, weights or arithmetic (the longer), KV reads, prefill attention."""
        fixed = self.overhead_s + self.sequence_s * work.sequences
        matmuls = max(self.weights_s, self.token_s * work.tokens)
        return fixed + matmuls + self.context_token_s * work.context + self.pair_s * work.pairs


@dataclass(frozen=True)
class Startup:
    """Seconds of each phase before the first request, and how fast weights come from each kind of storage."""

    import_s: float
    compile_s: float
    profile_s: float
    capture_s: float
    weights_bytes_per_second: dict[str, float]


@dataclass(frozen=True)
class HostCpu:
    """Cores that a real vLLM would keep busy on the host."""

    startup_cores: float
    idle_cores: float
    busy_cores: float
    sequence_cores: float

    def cores(self, running: int) -> float:
        """Cores in use while `running` sequences are on the GPU."""
        return self.busy_cores + self.sequence_cores * running if running else self.idle_cores


@dataclass(frozen=True)
class Profile:
    """One GPU with one model."""

    name: str
    source: str
    gpu: dict[str, Any]
    model: dict[str, Any]
    step: StepTiming
    memory: dict[str, int]
    startup: Startup
    host_cpu: HostCpu

    @property
    def weights_mib(self) -> int:
        """Size of the weights on the GPU, MiB."""
        return -(-int(self.model["weights_bytes"]) // MIB)

    @property
    def overhead_mib(self) -> int:
        """CUDA context, activations and graphs, MiB."""
        return self.memory["context_mib"] + self.memory["activation_mib"]

    def block_bytes(self, block_tokens: int) -> int:
        """Size of one KV-cache block."""
        return int(self.model["kv_bytes_per_token"]) * block_tokens

    def watts(self, utilization: float) -> float:
        """Power draw at a utilisation between 0 and 1 (linear between idle and the board's limit)."""
        idle = float(self.gpu["idle_watts"])
        return idle + (float(self.gpu["tdp_watts"]) - idle) * utilization


def read(path: Path) -> Profile:
    """Read one profile file."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return Profile(
            name=data["name"],
            source=data["source"],
            gpu=data["gpu"],
            model=data["model"],
            step=StepTiming(**data["step"]),
            memory=data["memory"],
            startup=Startup(**data["startup"]),
            host_cpu=HostCpu(**data["host_cpu"]),
        )
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.toml")))
        raise StartError(f"There is no timing profile {path.stem!r}. The image holds: {known}.") from None
    except (KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise StartError(f"The timing profile {path} is broken: {error}.") from error


def find(*, product: str, model: str, name: str = "") -> Profile:
    """The profile called `name` (or a file's path), else the one for this GPU and model."""
    if "/" in name:
        return read(Path(name))
    wanted = name or f"{product}_{model.rsplit('/', maxsplit=1)[-1]}".lower()
    return read(FOLDER / f"{wanted}.toml")
