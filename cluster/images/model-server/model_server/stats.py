"""What the engine counts: plain numbers, and histograms that take a whole run of steps at once.

Bucket edges, and what is counted when, are those of vLLM 0.30 (vllm/v1/metrics). Values are lab seconds.
Knows nothing of Prometheus.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from model_server.request import Request

TTFT = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
    1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
PER_TOKEN = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75,
    1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
LATENCY = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0,
    40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0,
)  # fmt: skip
STEP_TOKENS = (1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0)
CHOICES = (1.0, 2.0, 5.0, 10.0, 20.0)
MOST_CLIENTS = 100
PREEMPTIONS = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0)


def sizes_up_to(largest: int) -> tuple[float, ...]:
    """Return the edges 1, 2, 5, 10, 20, 50 … up to `largest`."""
    decades = range(int(math.log10(max(1, largest))) + 1)
    return tuple(float(m * 10**d) for d in decades for m in (1, 2, 5) if m * 10**d <= largest)


@dataclass(frozen=True)
class Run:
    """`steps` steps, the first of `first` seconds, each `growth` longer; each counts `weight` times."""

    first: float
    growth: float
    steps: int
    weight: int


class Histogram:
    """Counts per bucket (edges inclusive, as in Prometheus), and the sum."""

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = tuple(edges)
        self.counts = [0] * (len(self.edges) + 1)
        self.sum = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Count a value, `count` times over."""
        self.counts[bisect_left(self.edges, value)] += count
        self.sum += value * count

    def observe_run(self, run: Run) -> None:
        """Count every step of a run, each in its own bucket, without going through them one by one."""
        self.sum += run.weight * (run.steps * run.first + run.growth * run.steps * (run.steps - 1) / 2)
        index = 0
        while index < run.steps:
            value = run.first + run.growth * index
            bucket = bisect_left(self.edges, value)
            here = run.steps - index
            if bucket < len(self.edges) and run.growth > 0:
                here = min(here, int((self.edges[bucket] - value) / run.growth) + 1)
            self.counts[bucket] += here * run.weight
            index += here


REASONS = ("stop", "length", "abort", "error", "repetition")
"""Why a request can end in vLLM. Nothing here ends with one of the last two."""


@dataclass
class Stats:
    """Totals since the start. `requests` counts by finish reason."""

    max_model_len: int = 8192
    prompt_tokens: int = 0
    generation_tokens: int = 0
    preemptions: int = 0
    busy_s: float = 0.0
    requests: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    clients: dict[str, int] = field(default_factory=dict)
    """Requests by the address that sent them; beyond `MOST_CLIENTS` addresses, the others together."""
    ttft: Histogram = field(default_factory=lambda: Histogram(TTFT))
    intervals: Histogram = field(default_factory=lambda: Histogram(PER_TOKEN))
    e2e: Histogram = field(default_factory=lambda: Histogram(LATENCY))
    queue: Histogram = field(default_factory=lambda: Histogram(LATENCY))
    inference: Histogram = field(default_factory=lambda: Histogram(LATENCY))
    prefill: Histogram = field(default_factory=lambda: Histogram(LATENCY))
    decode: Histogram = field(default_factory=lambda: Histogram(LATENCY))
    per_token: Histogram = field(default_factory=lambda: Histogram(PER_TOKEN))
    step_tokens: Histogram = field(default_factory=lambda: Histogram(STEP_TOKENS))
    choices: Histogram = field(default_factory=lambda: Histogram(CHOICES))
    request_preemptions: Histogram = field(default_factory=lambda: Histogram(PREEMPTIONS))
    prompt_sizes: Histogram = field(init=False)
    computed_sizes: Histogram = field(init=False)
    generation_sizes: Histogram = field(init=False)
    longest_sizes: Histogram = field(init=False)
    max_tokens: Histogram = field(init=False)

    def count(self, client: str) -> None:
        """A request came from this address."""
        known = client in self.clients or len(self.clients) < MOST_CLIENTS
        name = client if known else "other"
        self.clients[name] = self.clients.get(name, 0) + 1

    def __post_init__(self) -> None:
        edges = sizes_up_to(self.max_model_len)
        self.prompt_sizes, self.computed_sizes = Histogram(edges), Histogram(edges)
        self.generation_sizes, self.longest_sizes = Histogram(edges), Histogram(edges)
        self.max_tokens = Histogram(edges)

    def steps(self, tokens: int, count: int = 1) -> None:
        """`count` steps that each gave `tokens`: new ones, and those of prompts that are read now.

        As in vLLM, a prompt that is read in chunks counts in the step that ends it, and a step without a
        new token is not counted.
        """
        self.step_tokens.observe(tokens, count)

    def first_token(self, request: Request) -> None:
        """A prompt has been read and its first token is out."""
        self.prompt_tokens += request.prompt
        if request.first_token is not None:
            self.ttft.observe(request.first_token - request.arrival)

    def finished(self, request: Request) -> None:
        """A request has ended; one whose client left is counted, but its times tell nothing of the server."""
        self.requests[request.finish_reason] += 1
        scheduled, first, end = request.scheduled, request.first_token, request.finished
        if request.finish_reason == "abort" or scheduled is None or first is None or end is None:
            return
        self.e2e.observe(end - request.arrival)
        self.queue.observe(scheduled - request.arrival)
        self.inference.observe(end - scheduled)
        self.prefill.observe(first - scheduled)
        self.decode.observe(end - first)
        others = request.generated - 1  # the first one is the prefill's
        self.per_token.observe((end - first) / others if others else 0.0)
        self.request_preemptions.observe(request.preemptions)
        self.choices.observe(1)
        self.max_tokens.observe(request.max_tokens)
        self.prompt_sizes.observe(request.prompt)
        self.computed_sizes.observe(request.prompt)  # no prefix cache: all of it
        self.generation_sizes.observe(request.generated)
        self.longest_sizes.observe(request.generated)  # of the request's choices: there is one
