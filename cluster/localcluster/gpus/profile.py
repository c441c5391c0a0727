"""A timing profile: how long one GPU takes for a step of one model, and what it needs in memory.

Read from TOML; the same file feeds the model server (which has its own reader, because its image must not
need this package). Refuses to guess: a file that lacks a number is an error. Times are lab seconds, sizes
bytes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcluster import stored
from localcluster.errors import BadInput

BLOCK_TOKENS = 16
"""Tokens in one block of vLLM's KV cache."""


@dataclass(frozen=True)
class GpuPart:
    """The card: its feature-discovery product label, memory (MiB) and power (W)."""

    product: str
    memory_mib: int
    tdp_watts: float
    idle_watts: float


@dataclass(frozen=True)
class ModelPart:
    """The model's footprint: weights and KV cache per token, in bytes."""

    id: str
    weights_bytes: int
    kv_bytes_per_token: int
    max_model_len: int


@dataclass(frozen=True)
class StepPart:
    """The coefficients of a step's length in seconds; the formula is in `Profile.step`."""

    overhead_s: float
    sequence_s: float
    weights_s: float
    token_s: float
    context_token_s: float
    pair_s: float


@dataclass(frozen=True)
class Profile:
    """One GPU with one model. `source` is `roofline` or `measured`."""

    name: str
    source: str
    gpu: GpuPart
    model: ModelPart
    step: StepPart
    memory: Mapping[str, int]
    startup: Mapping[str, Any]
    host_cpu: Mapping[str, float]
    fit: Mapping[str, Any] = field(default_factory=dict)

    def decode_step(self, *, batch: int, context: int) -> float:
        """Seconds of one decode step of `batch` sequences over `context` tokens in all."""
        return self._seconds(sequences=batch, tokens=batch, context=context, pairs=0.0)

    def prefill(self, tokens: int) -> float:
        """Seconds to read a prompt of `tokens` tokens, alone on the GPU."""
        pairs = tokens * (tokens + 1) / 2
        return self._seconds(sequences=1, tokens=tokens, context=tokens, pairs=pairs)

    def requests_per_second(self, *, batch: int, prompt: int, output: int) -> float:
        """The maximum throughput of a server that always runs `batch` requests of this size.

        A prompt is read in the same step in which the other sequences get their next token, so it only costs
        the extra length of that step.
        """
        context = batch * (prompt + output // 2)
        plain = self.decode_step(batch=batch, context=context)
        with_prompt = self._seconds(
            sequences=batch, tokens=batch - 1 + prompt, context=context, pairs=prompt * (prompt + 1) / 2
        )
        return batch / (output * plain + batch * (with_prompt - plain))

    def kv_blocks(self, *, gpu_memory_utilization: float = 0.9) -> int:
        """Blocks of 16 tokens that fit into what weights and activations leave of the VRAM."""
        allowed = int(self.gpu.memory_mib * gpu_memory_utilization)
        weights = -(-self.model.weights_bytes // 2**20)
        left = allowed - weights - self.memory["context_mib"] - self.memory["activation_mib"]
        return max(0, left * 2**20 // (self.model.kv_bytes_per_token * BLOCK_TOKENS))

    def _seconds(self, *, sequences: int, tokens: int, context: int, pairs: float) -> float:
        step = self.step
        matmuls = max(step.weights_s, step.token_s * tokens)
        fixed = step.overhead_s + step.sequence_s * sequences
        return fixed + matmuls + step.context_token_s * context + step.pair_s * pairs


def load(path: str | Path) -> Profile:
    """Read one profile; raises `BadInput` with what is missing."""
    try:
        return stored.made(Profile, tomllib.loads(Path(path).read_text()))
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror}.", fix="Check the path.") from error
    except ValueError as error:
        raise BadInput(
            f"{path} is not a timing profile: {error}.",
            cause="A key is missing or misspelt, or the TOML is not valid.",
            fix="Compare it with one that `python -m localcluster.gpus.roofline` writes.",
        ) from error


def to_toml(profile: Profile) -> str:
    """The file's text: plain tables of numbers, so that readers can change one and see what happens."""
    lines = [f'name = "{profile.name}"', f'source = "{profile.source}"']
    data = stored.plain(profile)
    for table in ("gpu", "model", "step", "memory", "startup", "host_cpu", "fit"):
        if data[table]:
            lines += ["", *_table(table, data[table])]
    return "\n".join(lines) + "\n"


def _table(name: str, values: Mapping[str, Any]) -> list[str]:
    lines = [f"[{name}]"]
    lines += [f"{key} = {_value(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for key, value in values.items():
        if isinstance(value, dict):
            lines += ["", *_table(f"{name}.{key}", value)]
    return lines


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:_}" if isinstance(value, int) else f"{value:.6g}"
