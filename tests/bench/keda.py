"""How fast KEDA's path reacts, beside the adapter's, in turns on one lab; how long KEDA takes to start, and its memory.

Needs KEDA's two programs: `labkit toolchain fetch keda-operator keda-adapter`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from labkit.lab import SERVER, Lab, connect
from labkit.load import Open, Workload
from localcluster import polling, spawn
from localcluster.embedded.provider import Embedded
from localcluster.provider import Spec
from tests.bench.figures import Figure, median, percentile

NAME, CLOCK = "bench-keda", 15.0
ROUNDS = 15
SCALED, KEDAS, MINE = f"scaledobject/{SERVER}", f"hpa/keda-hpa-{SERVER}", "hpa/llm-hpa"
BY_ADAPTER, BY_KEDA = "manifests/base/hpa.yaml", "manifests/11-keda/named.yaml"
QUEUE, TARGET = 'sum(vllm:num_requests_waiting{namespace="llm-lab"})', 10
BURST = Open((0.0,) * 40)
SHORT = Workload(input=50, output=60)
FINE = 0.3  # lab seconds between two values of the queue: 20 ms


def figures() -> list[Figure]:
    """The start, the reactions of both, and the memory."""
    with _running() as (lab, cluster):
        before = _pss(cluster)
        started = _to_ready(lab)
        polling.pause(10.0)  # what a start leaves to do is not idleness
        memory = _pss(cluster) - before
        took: dict[str, list[float]] = {BY_ADAPTER: [], BY_KEDA: []}
        for _ in range(ROUNDS):
            for file, found in took.items():
                found.append(_reaction(lab, file))
    adapters, kedas = took[BY_ADAPTER], took[BY_KEDA]
    note = (
        f"p50 {median(kedas):.2f} s (max {percentile(kedas, 1):.2f}) against {median(adapters):.2f} s "
        f"(max {percentile(adapters, 1):.2f}), in turns"
    )
    return [
        Figure("queue over the target → new count: KEDA over the adapter", median(kedas) / median(adapters), "×", 2.0, ROUNDS, note),
        Figure("lab.keda() → a ScaledObject is Ready", started, "s", 10.0),
        Figure("memory that KEDA adds", memory, "MiB", 240.0, note="PSS, idle"),
    ]  # fmt: skip


@contextmanager
def _running() -> Iterator[tuple[Lab, Embedded]]:
    cluster = Embedded(NAME)
    cluster.up(Spec(name=NAME))
    os.environ["LABKIT_LAB"] = NAME
    try:
        lab = connect(provider="embedded", clock=CLOCK, seed=0)
        lab.reset()
        lab.apply("manifests/overlays/embedded")
        lab.until("pods app=llm-model ready=2", seconds=120)
        yield lab, cluster
    finally:
        cluster.down()
        del os.environ["LABKIT_LAB"]


def _to_ready(lab: Lab) -> float:
    """Seconds from the call of `lab.keda()` until a ScaledObject is Ready."""
    lab.delete(MINE)
    began = time.monotonic()
    lab.keda()
    lab.apply(BY_KEDA)
    lab.until(f"{SCALED} ready", seconds=60)
    return time.monotonic() - began


def _reaction(lab: Lab, file: str) -> float:
    """Real seconds from the first scrape with a queue over the target to the new number of replicas."""
    lab.delete(SCALED, MINE)
    lab.until(f"{KEDAS} gone", f"{MINE} gone", seconds=30)
    lab.kubectl(f"scale deployment/{SERVER} --replicas=2")
    lab.until("pods app=llm-model total=2", "pods app=llm-model ready=2", seconds=120)
    lab.until_metric(f"{QUEUE} == 0", seconds=60)
    lab.apply(file)
    lab.until(f"{MINE} exists", f"{MINE} scalingactive", seconds=60)
    began = time.time()
    users = lab.load(BURST, workload=SHORT)
    polling.until(lambda: _replicas(lab) > 2, "more replicas", seconds=60, every=0.01)
    ended = time.time()
    users.wait()
    [queue] = lab.prometheus().query_range(QUEUE, start=began, end=ended, step=FINE)
    over = queue.first(lambda waiting: waiting > TARGET)
    assert over is not None, queue
    return ended - began - over / CLOCK


def _replicas(lab: Lab) -> int:
    return int(lab.get(f"deployment/{SERVER}").at("spec.replicas"))


def _pss(cluster: Embedded) -> float:
    """MiB of all of the lab's programs; its pods come and go."""
    names = {part.name for part, _, _ in cluster.states()}
    found = (spawn.Proc.load(cluster.layout.record(name)) for name in names)
    trees = [psutil.Process(p.pid) for p in found if p and p.alive()]
    every = {one.pid: one for top in trees for one in (top, *top.children(recursive=True))}
    return sum(one.memory_full_info().pss for one in every.values()) / 2**20
