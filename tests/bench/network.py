"""What the lab's own network costs: making a pod's; the start of a lab, over one with `--isolation none`."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from localcluster import spawn
from localcluster.netns import furnish, holder
from localcluster.netns.pods import PodNetworks
from localcluster.toolchain.locate import bwrap
from tests.bench.cluster import LABKIT
from tests.bench.figures import Figure, median, percentile

PODS = 100
ROUNDS = 5


def figures() -> list[Figure]:
    """Both."""
    env = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = spawn.run(holder.new(str(bwrap()), "tests.bench.network"), env=env)
    took = [1000 * seconds for seconds in json.loads(done.stdout)]
    with_own, without = [], []
    for _ in range(ROUNDS):
        with_own.append(_up())
        without.append(_up("--isolation", "none"))
    note = f"{median(with_own):.1f} s against {median(without):.1f} s, in turns"
    return [
        Figure(
            "a pod's network made, p99", percentile(took, 0.99), "ms", 20.0, PODS, f"p50 {median(took):.1f}"
        ),
        Figure(
            "up, over a lab without a network", median(with_own) / median(without), "×", 1.1, ROUNDS, note
        ),
    ]


def _up(*options: str) -> float:
    began = time.monotonic()
    assert spawn.run([*LABKIT, "up", "--name", "bench-net", *options]).returncode == 0
    took = time.monotonic() - began
    assert spawn.run([*LABKIT, "down", "--name", "bench-net"]).returncode == 0
    return took


def _make() -> list[float]:
    """Seconds for each, in a namespace of this process' own."""
    furnish.links(furnish.FORWARD)
    networks, took = PodNetworks(), []
    for number in range(PODS):
        began = time.perf_counter()
        networks.make(f"pod-{number}", f"10.244.1.{number + 2}")
        took.append(time.perf_counter() - began)
    return took


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_make()))
