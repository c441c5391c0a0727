"""The running parts of a kind lab and their logs: nodes, registry, `monitoring`. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from localcluster.api.client import Api
from localcluster.api.kubectl import kubectl
from localcluster.api.objects import KubeObject
from localcluster.errors import ClusterError, LabError
from localcluster.kind.engine import Engine
from localcluster.kind.settings import Settings
from localcluster.provider import Part

MONITORING = {
    "prometheus": ("deployment", "collects the metrics of every pod from /metrics"),
    "prometheus-adapter": ("deployment", "turns series into Kubernetes metrics"),
    "gpu-plugin": ("daemonset", "announces the simulated GPUs to each kubelet"),
}
"""Part → its kind of object, and what it is for."""


def found(engine: Engine, settings: Settings, nodes: Sequence[str], kubeconfig: Path) -> list[Part]:
    """Every part with its state."""
    does = "a node: kubelet and containerd"
    parts = [Part(node, _state(engine, node), does) for node in nodes]
    does = "keeps images; asks for a login before it hands one out"
    registry = Part(settings.registry, _state(engine, settings.registry), does, port=settings.registry_port)
    ports = {"prometheus": settings.prometheus_port}
    rest = [
        Part(name, _ready(kubeconfig, kind, name), why, port=ports.get(name))
        for name, (kind, why) in MONITORING.items()
    ]
    return [*parts, registry, *rest]


def said(
    engine: Engine, settings: Settings, nodes: Sequence[str], kubeconfig: Path
) -> Iterator[tuple[str, str]]:
    """The end of each part's log, by name."""
    for node in nodes:
        words = ("exec", node, "journalctl", "--no-pager", "--lines", "2000", "--unit", "kubelet")
        yield f"kubelet-{node}", engine.says(*words)
    yield "registry", engine.says("logs", "--tail", "2000", settings.registry)
    for name in MONITORING:
        with suppress(ClusterError):
            which = ("--namespace=monitoring", f"--selector=app={name}")
            yield name, kubectl("logs", *which, "--tail=2000", "--prefix", kubeconfig=kubeconfig)


def _state(engine: Engine, container: str) -> str:
    return "ready" if engine.running(container) else "dead"


def _ready(kubeconfig: Path, kind: str, name: str) -> str:
    with suppress(LabError):
        path = f"/apis/apps/v1/namespaces/monitoring/{kind}s/{name}"
        there = KubeObject(Api(kubeconfig).get(path))
        wanted = there.at("status.desiredNumberScheduled") or there.at("spec.replicas")
        ready = there.at("status.numberReady") or there.at("status.readyReplicas") or 0
        return "ready" if ready == wanted else f"{ready} of {wanted} ready"
    return "unknown"
