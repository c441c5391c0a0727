"""How long `lab.reset()` takes where a notebook was left in the middle: ten servers, an HPA."""

from __future__ import annotations

import time

from labkit import reset
from labkit.kube.client import Kube
from localcluster.provider import Provider
from tests.bench.figures import Figure

SERVERS = 10
ROUNDS = 5
SERVER, HPA = "manifests/overlays/embedded/server", "manifests/base/hpa.yaml"


def run(kube: Kube, provider: Provider) -> list[Figure]:
    """The slowest of a few resets; each finds ten servers that answer."""
    reset.run(kube, provider, lambda _line: None)  # what was measured before left a Deployment, and its HPA
    took = [_once(kube, provider) for _ in range(ROUNDS)]
    return [Figure(f"lab.reset() with {SERVERS} servers and an HPA", max(took), "s", 10.0, ROUNDS)]


def _once(kube: Kube, provider: Provider) -> float:
    kube.apply(SERVER)
    kube.scale("deployment/llm-inference-service", replicas=SERVERS)
    kube.until(f"pods app=llm-model ready={SERVERS}", seconds=120)
    kube.apply(HPA)  # only now: it holds the number that it finds, for a while
    began = time.monotonic()
    reset.run(kube, provider, lambda _line: None)
    return time.monotonic() - began
