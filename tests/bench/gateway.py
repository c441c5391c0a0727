"""What an endpoint picker saves against a Service's random choice, over five seeds; its start, its memory.

Four servers of notebook 12, 70 % busy, one long request in five. The ratio is what it is: whether it has a
target is asked of the mean only. Needs the picker (`labkit toolchain fetch epp`) and Envoy's package.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import httpx

from course.study.interval import Interval
from labkit import course, reset
from labkit.kube.client import Kube
from labkit.load import Load, Open, Tokens, Workload, arrivals, start
from localcluster import gateway, polling
from localcluster.embedded.provider import Embedded
from localcluster.provider import Pool, Spec
from tests.bench.figures import Figure
from tests.bench.keda import pss
from tests.bench.pods import NAMESPACE

NAME, SEEDS, CLOCK = "bench-gateway", 5, 15
RATE, SECONDS = 0.4, 600.0
MIXED = Workload(input=128, output=Tokens.of([100] * 80 + [800] * 20))
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
FILES = "manifests/12-gateway"


def figures(_folder: Path) -> list[Figure]:
    """The start, the memory, and the ratio of both p95."""
    lab = Embedded(NAME)
    lab.up(Spec(name=NAME))
    try:
        return _measured(lab, Kube(lab.kubeconfig(), namespace=NAMESPACE, clock=CLOCK))
    finally:
        lab.down()


def _measured(lab: Embedded, kube: Kube) -> list[Figure]:
    reset.run(kube, lab, lambda _line: None)
    kube.apply(f"{FILES}/servers")
    kube.until("deployment/llm-inference-service available", "pods app=llm-model ready=4", seconds=120)
    polling.pause(10.0)  # what a start leaves to do is not idleness
    before, began = pss(lab), time.monotonic()
    config = course.path(f"{FILES}/choose.yaml").read_text()
    gateway.start(lab, Pool(NAMESPACE), config=config, report=lambda _line: None)
    body = {"model": MODEL, "prompt": "hello", "max_tokens": 1}
    url = lab.address(NAMESPACE, gateway.SERVICE, 80)
    httpx.post(f"{url}/v1/completions", json=body, trust_env=False).raise_for_status()
    started, ask = time.monotonic() - began, partial(_load, lab)
    polling.pause(10.0)
    memory = pss(lab) - before
    runs = []
    for seed in range(1, SEEDS + 1):  # in turns, each first in every other round
        names = ["llm-inference-service", gateway.SERVICE][:: 1 if seed % 2 else -1]
        p95 = {name: ask(name, seed=seed, seconds=SECONDS) for name in names}
        runs.append((p95["llm-inference-service"], p95[gateway.SERVICE]))
    ratio = Interval.of([picked / random for random, picked in runs])
    note = f"95 % interval ± {ratio.half:.2f}; " + ", ".join(f"{a:.0f} → {b:.0f} lab s" for a, b in runs)
    return [
        Figure("p95 TTFT, the picker over random", ratio.mean, "×", 1.0, SEEDS, note),
        Figure("lab.gateway() to the first answered request", started, "s", 5.0),
        Figure("memory that a gateway adds", memory, "MiB", 150.0, note="PSS, idle"),
    ]


def _load(lab: Embedded, service: str, *, seed: int, seconds: float) -> float:
    url = lab.address(NAMESPACE, service, 80)
    shape = Open(arrivals.poisson(rate=RATE, seconds=seconds, seed=seed))
    asked = Load(url, shape, MIXED, clock=CLOCK, seed=seed, drain=600)
    return start(asked, course.out("load"), lab.inside(url)).wait().summary().ttft.p95
