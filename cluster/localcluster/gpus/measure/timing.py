"""How long a step takes, as a server sees it: launched, done, and its tokens back on the host.

On a GPU each step is one CUDA graph. On a CPU it is called directly and its CPU time is counted: that shows
that the program works, and says nothing about any GPU.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch

from localcluster.gpus.measure.decoder import Tensor

Step = Callable[[], Tensor]
WARM_UP = 3


@dataclass(frozen=True)
class Timed:
    """The median of `repeats` steps, and the cores that the host kept busy meanwhile."""

    seconds: float
    host_cores: float
    repeats: int


@dataclass(frozen=True)
class Stopwatch:
    """Times steps on one device, each at least `least` times and for at least `seconds`."""

    device: str
    least: int = 20
    seconds: float = 0.5

    def time(self, step: Step) -> Timed:
        """Time one step."""
        on_gpu = self.device == "cuda"
        run, clock = (captured(step), time.perf_counter) if on_gpu else (step, time.process_time)
        for _ in range(WARM_UP):
            run().cpu()
        taken: list[float] = []
        began, cpu = time.perf_counter(), _cpu_seconds()
        while len(taken) < self.least or time.perf_counter() - began < self.seconds:
            start = clock()
            run().cpu()  # tokens go back to the host: servers need them
            taken.append(clock() - start)
        wall = time.perf_counter() - began
        return Timed(statistics.median(taken), (_cpu_seconds() - cpu) / wall, len(taken))


def captured(step: Step) -> Step:
    """The step as a CUDA graph: its kernels are launched all at once, as vLLM does it."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


def _cpu_seconds() -> float:
    times = psutil.Process().cpu_times()
    return float(times.user + times.system)
