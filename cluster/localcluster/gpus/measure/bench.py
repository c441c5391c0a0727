"""All measurements of one GPU with one model, in one run: steps, memory, loading, host CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from localcluster.errors import BadInput
from localcluster.gpus.fit import Sample
from localcluster.gpus.measure import loading
from localcluster.gpus.measure.decoder import Decoder, Place, Room
from localcluster.gpus.measure.shape import Shape
from localcluster.gpus.measure.timing import Stopwatch, Timed

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTEXTS = (128, 512, 1024, 2048, 4096, 8192)
PROMPTS = (16, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
CHUNK_OF_A_PROMPT = 2048
"""Tokens that vLLM puts into one step by default: its peak of activations."""
MIB = 2**20
HEADROOM = 4 * 2**30
"""Bytes that the cache leaves free: activations and graphs."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class Grid:
    """What is measured: decode steps over batch and context, prompts over their length."""

    batches: tuple[int, ...] = BATCHES
    contexts: tuple[int, ...] = CONTEXTS
    prompts: tuple[int, ...] = PROMPTS

    @classmethod
    def small(cls) -> Grid:
        """For a CPU and a tiny shape."""
        return cls((1, 2, 4), (16, 64), (8, 64, 256, 512, 1024))

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max(*self.contexts, *self.prompts)

    def decodes(self, cache_tokens: int) -> Iterable[tuple[int, int]]:
        """Batch and context of each decode step whose cache fits."""
        pairs = ((batch, context) for batch in self.batches for context in self.contexts)
        return [(batch, context) for batch, context in pairs if batch * context <= cache_tokens]


@dataclass(frozen=True)
class Plan:
    """What to measure, where, and with which file."""

    shape: Shape
    device: str
    grid: Grid
    folder: Path
    load_bytes: int
    stopwatch: Stopwatch

    @property
    def place(self) -> Place:
        """bfloat16 on a GPU; whatever is fast on a CPU."""
        return Place(self.device, torch.bfloat16 if self.device == "cuda" else torch.float32)


@dataclass(frozen=True)
class Measured:
    """The results; memory is None if the device does not report it."""

    samples: tuple[Sample, ...]
    activation_mib: int | None
    loading: loading.Loading
    host_cores: dict[int, float]
    """Busy host cores while decoding, by batch."""


def measure(plan: Plan, report: Report) -> Measured:
    """Run all measurements."""
    if plan.device == "cpu":
        torch.set_num_threads(1)  # threads that wait for each other count as work
    loaded = loading.measure(plan.device, folder=plan.folder, size=plan.load_bytes)
    report(f"loading: {loaded.disk / 1e9:.2f} GB/s from disk, {loaded.page_cache / 1e9:.2f} from page cache")
    with torch.inference_mode():
        room = Room(_cache_tokens(plan), plan.grid.longest)
        decoder = Decoder(plan.shape, plan.place, room)
        activations = _activation_mib(decoder, plan)
        cores: dict[int, float] = {}
        samples = [*_decodes(decoder, plan, cores, report), *_prefills(decoder, plan, report)]
    return Measured(tuple(samples), activations, loaded, cores)


def _decodes(decoder: Decoder, plan: Plan, cores: dict[int, float], report: Report) -> Iterable[Sample]:
    for batch, context in plan.grid.decodes(decoder.room.tokens):
        tokens = torch.zeros(batch, dtype=torch.long, device=plan.device)
        timed = plan.stopwatch.time(partial(decoder.decode, tokens, context=context))
        cores[batch] = timed.host_cores
        report(f"decode, batch {batch}, context {context}: {_shown(timed)}")
        yield Sample.decode(batch=batch, context=context, seconds=timed.seconds)


def _prefills(decoder: Decoder, plan: Plan, report: Report) -> Iterable[Sample]:
    for count in (prompt for prompt in plan.grid.prompts if prompt <= decoder.room.tokens):
        tokens = torch.zeros(count, dtype=torch.long, device=plan.device)
        timed = plan.stopwatch.time(partial(decoder.prefill, tokens))
        report(f"prefill, {count} tokens: {_shown(timed)}")
        yield Sample.prefill(count, seconds=timed.seconds)


def _cache_tokens(plan: Plan) -> int:
    """At most as many as the grid needs, and as fit next to the weights."""
    grid = plan.grid
    wanted = max(max(grid.batches) * max(grid.contexts), grid.longest)
    if plan.device != "cuda":
        return wanted
    size = torch.finfo(plan.place.dtype).bits // 8
    free = torch.cuda.mem_get_info()[0] - plan.shape.parameters * size - HEADROOM
    fits = free // (plan.shape.kv_elements_per_token * size)
    if fits < grid.longest:
        raise BadInput(
            "The model and a large enough cache don't fit on this GPU.",
            cause=f"{plan.shape.parameters:,} weights leave room for {max(0, fits):,} tokens.",
            fix="Choose a smaller model: --model meta-llama/Llama-3.2-1B-Instruct.",
        )
    return int(min(wanted, fits))


def _activation_mib(decoder: Decoder, plan: Plan) -> int | None:
    """What one full chunk of a prompt takes besides weights and cache."""
    if plan.device != "cuda":
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    decoder.prefill(torch.zeros(CHUNK_OF_A_PROMPT, dtype=torch.long, device=plan.device)).cpu()
    return int((torch.cuda.max_memory_allocated() - before) // MIB)


def _shown(timed: Timed) -> str:
    return f"{timed.seconds * 1e3:.3f} ms (median of {timed.repeats}), host {timed.host_cores:.2f} cores"
