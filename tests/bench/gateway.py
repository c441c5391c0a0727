"""What an endpoint picker saves against a Service's random choice, over five seeds; its start, its memory.

Four servers of notebook 12, 70 % busy, one long request in five. The ratio is what it is: whether it has a
target is asked of the mean only. With KEDA: how much longer than a server's start a request takes that wakes
the service from none. Needs the picker (`labkit toolchain fetch epp`) and Envoy's package.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import httpx

from course.hpa.model import WhatIf
from course.study.interval import Interval
from labkit import course, reset
from labkit.kube.client import Kube
from labkit.load import Load, Open, Tokens, Workload, arrivals, start
from localcluster import gateway, keda, polling
from localcluster.embedded.provider import Embedded
from localcluster.provider import Pool, Spec
from localcluster.toolchain import parts
from tests.bench.figures import Figure, median
from tests.bench.keda import pss
from tests.bench.pods import NAMESPACE

NAME, SEEDS, CLOCK = "bench-gateway", 5, 15
RATE, SECONDS = 0.4, 600.0
MIXED = Workload(input=128, output=Tokens.of([100] * 80 + [800] * 20))
BODY = {"model": "meta-llama/Llama-3.1-8B-Instruct", "prompt": "hello", "max_tokens": 1}
FILES, DEPLOYMENT, WAKES = "manifests/12-gateway", "deployment/llm-inference-service", 3


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
    url = lab.address(NAMESPACE, gateway.SERVICE, 80)
    httpx.post(f"{url}/v1/completions", json=BODY, trust_env=False).raise_for_status()
    started, ask = time.monotonic() - began, partial(_load, lab)
    polling.pause(10.0)
    memory = pss(lab) - before
    runs = []
    for seed in range(1, SEEDS + 1):  # in turns, each first in every other round
        names = ["llm-inference-service", gateway.SERVICE][:: 1 if seed % 2 else -1]
        p95 = {name: ask(name, seed=seed, seconds=SECONDS) for name in names}
        runs.append((p95["llm-inference-service"], p95[gateway.SERVICE]))
    woken = [] if parts.lacking("keda") else [_woken(lab, kube)]
    ratio = Interval.of([picked / random for random, picked in runs])
    note = f"95 % interval ± {ratio.half:.2f}; " + ", ".join(f"{a:.0f} → {b:.0f} lab s" for a, b in runs)
    return [
        Figure("p95 TTFT, the picker over random", ratio.mean, "×", 1.0, SEEDS, note),
        _modelled(kube),
        Figure("lab.gateway() to the first answered request", started, "s", 5.0),
        Figure("memory that a gateway adds", memory, "MiB", 150.0, note="PSS, idle"),
        *woken,
    ]


def _modelled(kube: Kube) -> Figure:
    """The what-if model's answer to the same question."""
    ask = WhatIf(kube, 1, "").ask
    ratios = []
    for seed in range(1, SEEDS + 1):
        shape = Open(arrivals.poisson(rate=RATE, seconds=SECONDS, seed=seed))
        files = None, f"{FILES}/choose.yaml"
        random, picked = (ask(shape, 4, play=seed, workload=MIXED, gateway=file) for file in files)
        ratios.append(picked.ttft(0.95) / random.ttft(0.95))
    ratio = Interval.of(ratios)
    return Figure("the same by the what-if model", ratio.mean, "×", 1.0, SEEDS, f"± {ratio.half:.2f}")


def _woken(lab: Embedded, kube: Kube) -> Figure:
    """A request is held, its queue wakes the service, the first server answers: beside a server's start."""
    gateway.start(lab, Pool(NAMESPACE), report=lambda _line: None)  # which holds requests
    url, none = lab.address(NAMESPACE, gateway.SERVICE, 80), (f"{DEPLOYMENT} replicas=0", "pods total=0")
    starts, held = [], []
    for _ in range(WAKES):
        kube.kubectl("scale", DEPLOYMENT, "--replicas=0")
        kube.until(*none, seconds=120)
        began = time.monotonic()
        kube.kubectl("scale", DEPLOYMENT, "--replicas=1")
        kube.until(f"{DEPLOYMENT} available", seconds=120)
        starts.append(time.monotonic() - began)
    keda.start(lab, report=lambda _line: None)
    kube.apply(f"{FILES}/solutions/scaledobject.yaml")
    for _ in range(WAKES):
        kube.until(*none, seconds=180)
        began = time.monotonic()
        httpx.post(f"{url}/v1/completions", json=BODY, timeout=120, trust_env=False).raise_for_status()
        held.append(time.monotonic() - began)
    more = median(held) - median(starts)
    note = f"{median(held):.1f} against {median(starts):.1f} s, CLOCK={CLOCK}"
    return Figure("wake from none, over a server's start", more, "s", 2.0, WAKES, note)


def _load(lab: Embedded, service: str, *, seed: int, seconds: float) -> float:
    url = lab.address(NAMESPACE, service, 80)
    shape = Open(arrivals.poisson(rate=RATE, seconds=seconds, seed=seed))
    asked = Load(url, shape, MIXED, clock=CLOCK, seed=seed, drain=600)
    return start(asked, course.out("load"), lab.inside(url)).wait().summary().ttft.p95
