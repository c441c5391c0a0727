"""How fast KEDA's path reacts, beside the adapter's, in turns on one lab; KEDA's start, and its memory.

Needs KEDA's two programs: `labkit toolchain fetch keda-operator keda-adapter`.
"""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from labkit import reset
from labkit.kube.client import Kube, Which
from localcluster import keda, polling, spawn
from localcluster.embedded.provider import Embedded
from localcluster.provider import Spec
from tests.bench.figures import Figure, median
from tests.bench.pods import NAMESPACE, QUEUE_HPA, burst, service

NAME, ROUNDS = "bench-keda", 15
DEPLOYMENT, HPA = "deployment/llm-inference-service", "hpa/llm-hpa"
SCALED = "scaledobject/llm-inference-service"
QUEUE_SCALED = """
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: llm-inference-service}
spec:
  scaleTargetRef: {name: llm-inference-service}
  minReplicaCount: 2
  maxReplicaCount: 10
  pollingInterval: 15
  advanced:
    horizontalPodAutoscalerConfig:
      name: llm-hpa
      behavior:
        scaleDown: {stabilizationWindowSeconds: 0}
  triggers:
    - type: prometheus
      metricType: AverageValue
      metadata:
        serverAddress: https://prometheus.monitoring.svc:9090
        query: sum(vllm:num_requests_waiting{namespace="llm-lab"}) or vector(0)
        threshold: "5"
        authModes: tls
      authenticationRef: {kind: ClusterTriggerAuthentication, name: prometheus}
"""


def figures(folder: Path) -> list[Figure]:
    """The start, the reactions of both, and the memory."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"adapter": folder / "hpa.yaml", "KEDA": folder / "scaled.yaml"}
    for file, text in zip(files.values(), (QUEUE_HPA, QUEUE_SCALED), strict=True):
        file.write_text(text)
    lab = Embedded(NAME)
    lab.up(Spec(name=NAME))
    try:
        return _measured(lab, files)
    finally:
        lab.down()


def _measured(lab: Embedded, files: dict[str, Path]) -> list[Figure]:
    kube = Kube(lab.kubeconfig(), namespace=NAMESPACE, clock=15)
    reset.run(kube, lab, lambda _line: None)
    kube.apply("manifests/overlays/embedded/server")
    kube.until(f"{DEPLOYMENT} available", seconds=120)
    polling.pause(10.0)  # what a start leaves to do is not idleness
    before = pss(lab)
    started = _to_ready(lab, kube, files["KEDA"])
    polling.pause(10.0)
    memory = pss(lab) - before
    took: dict[str, list[float]] = {who: [] for who in files}
    for _ in range(ROUNDS):
        for who, file in files.items():
            took[who].append(_reaction(lab, kube, file))
    ratio = median(took["KEDA"]) / median(took["adapter"])
    note = "; ".join(f"{who}: p50 {median(each):.2f} s, max {max(each):.2f} s" for who, each in took.items())
    what = "queue over target to HPA's new count, KEDA over adapter"
    return [
        Figure(what, ratio, "×", 2.0, ROUNDS, f"in turns, CLOCK=15; {note}"),
        Figure("lab.keda() to a ScaledObject that is Ready", started, "s", 10.0),
        Figure("memory that KEDA adds", memory, "MiB", 240.0, note="PSS, idle"),
    ]


def _to_ready(lab: Embedded, kube: Kube, scaled: Path) -> float:
    began = time.monotonic()
    keda.start(lab, report=lambda _line: None)
    kube.apply(scaled)
    kube.until(f"{SCALED} ready", seconds=60)
    return time.monotonic() - began


def _reaction(lab: Embedded, kube: Kube, file: Path) -> float:
    for name in (SCALED, HPA):
        kube.kubectl("delete", name, "--ignore-not-found", "--wait=true")
    kube.until(f"{HPA} gone", seconds=90)
    polling.until(lambda: _two(kube), "two pods", seconds=120, every=1.0)
    kube.until(f"{DEPLOYMENT} available", seconds=120)
    kube.apply(file)
    kube.until(f"{HPA} exists", f"{HPA} ScalingActive", seconds=60)
    return burst(lab, kube, service(lab))


def _two(kube: Kube) -> bool:
    """Whether there are two; scales again, since a sync that was under way may write its own number."""
    kube.kubectl("scale", DEPLOYMENT, "--replicas=2")
    return len(kube.objects("pods", which=Which("app=llm-model"))) == 2


def pss(lab: Embedded) -> float:
    """MiB of the lab's own programs; its pods come and go."""
    found = (spawn.Proc.load(lab.layout.record(part.name)) for part, _, _ in lab.states())
    tops = [psutil.Process(proc.pid) for proc in found if proc and proc.alive()]
    every = {one.pid: one for top in tops for one in (top, *top.children(recursive=True))}
    return sum(one.memory_full_info().pss for one in every.values()) / 2**20
