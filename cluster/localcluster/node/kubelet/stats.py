"""CPU and memory of each container, as a kubelet knows them from cgroups; here from /proc.

CPU seconds are those of the container's process tree, its ended children included, *plus* the modelled host
CPU of a simulated GPU's holder: ten real vLLM servers would not fit on a laptop, so their CPU time is
reported, not used. As in cAdvisor, counters never fall during a run, and restart at 0 with the next one.
Refuses to keep history: Prometheus has that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from localcluster.gpus.usage import host_cpu_seconds
from localcluster.node.pod.pods import PodTable, RunningContainer, RunningPod
from localcluster.node.process import processes

FRESH_SECONDS = 0.25  # several pages are read in one scrape: they get the same numbers

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Sample:
    """One container at one moment: CPU seconds since its start, cores right now, resident bytes."""

    pod: RunningPod
    container: RunningContainer
    cpu_seconds: float
    cores: float
    memory_bytes: int
    taken: float  # seconds since the epoch


@dataclass(frozen=True)
class NodeSample:
    """One node at one moment: its containers together; CPU seconds include ended ones."""

    cpu_seconds: float
    cores: float
    memory_bytes: int
    taken: float
    containers: tuple[Sample, ...]


class Sampler:
    """Measures on demand, one node at a time."""

    def __init__(self, pods: PodTable) -> None:
        self._pods = pods
        self._nodes: dict[str, NodeSample] = {}
        self._ended: dict[str, float] = {}  # node -> CPU seconds of containers that are gone

    def node(self, name: str) -> NodeSample:
        """The node and its running containers as of now."""
        last = self._nodes.get(name)
        now = time.time()
        if last is not None and 0 <= now - last.taken < FRESH_SECONDS:
            return last
        before = {s.container.container_id: s for s in last.containers} if last else {}
        samples = [
            _sample(pod, container, container.pid, before, now)
            for pod in self._pods.list(name)
            for container in pod.containers.values()
            if container.pid is not None
        ]
        self._nodes[name] = self._sum(name, samples, before.values(), now)
        return self._nodes[name]

    def forget(self, name: str) -> None:
        """Forget a node that left the lab."""
        self._nodes.pop(name, None)
        self._ended.pop(name, None)

    def _sum(self, name: str, samples: list[Sample], before: Iterable[Sample], now: float) -> NodeSample:
        living = {s.container.container_id for s in samples}
        gone = sum(s.cpu_seconds for s in before if s.container.container_id not in living)
        self._ended[name] = self._ended.get(name, 0.0) + gone
        return NodeSample(
            cpu_seconds=self._ended[name] + sum(s.cpu_seconds for s in samples),
            cores=sum(s.cores for s in samples),
            memory_bytes=sum(s.memory_bytes for s in samples),
            taken=now,
            containers=tuple(samples),
        )


def _sample(
    pod: RunningPod, container: RunningContainer, pid: int, before: dict[str, Sample], now: float
) -> Sample:
    cpu, memory = tree_usage(pid)
    cpu += host_cpu_seconds(container.usage_files, since=container.started_at)
    last = before.get(container.container_id)
    cores = 0.0
    if last is not None:
        cpu = max(cpu, last.cpu_seconds)
        cores = (cpu - last.cpu_seconds) / max(now - last.taken, 1e-3)
    return Sample(pod, container, cpu, cores, memory, now)


def tree_usage(pid: int) -> tuple[float, int]:
    """CPU seconds and resident bytes of a process and all its descendants; zeros if it is gone."""
    ticks = pages = 0
    for each in processes.tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_bytes().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(int(f) for f in fields[11:15])  # utime stime cutime cstime; see proc_pid_stat(5)
        pages += int(fields[21])
    return ticks / _TICKS, pages * _PAGE
