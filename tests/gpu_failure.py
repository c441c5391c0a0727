"""A GPU fails under a Deployment: one story, told on the embedded cluster and on kind by the same words.

The container does what a CUDA program does: it dies with its device, and does not start on a dead one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from labkit.kube import Kube
from labkit.kube.client import Which
from localcluster import polling
from localcluster.api.objects import KubeObject
from localcluster.gpus.breaking import Gpu, GpuFaults

GPU = "nvidia.com/gpu"
REASON = "Xid 79: GPU has fallen off the bus"
PROGRAM = """
marker=$LABKIT_GPU_DIR/$NVIDIA_VISIBLE_DEVICES/unhealthy
if [ -e $marker ]; then echo "No CUDA GPUs are available: $(cat $marker)"; exit 1; fi
until [ -e $marker ]; do sleep 0.1; done
echo "CUDA error: $(cat $marker)"; exit 1
"""
SELECTOR = "app=cuda"


@dataclass(frozen=True)
class Recovery:
    """What came of it: the old pod's end, and where the new one is."""

    failed: Gpu
    replaced_by: Gpu
    allocatable: tuple[str, str]  # before, while the GPU is broken
    capacity: str
    health: str  # of the device in the old pod's status
    exit_code: int
    reasons: set[str]  # of the events about the old pod
    node_reasons: set[str]


def deployment(image: str, **pod: Any) -> str:
    """One replica that holds one GPU."""
    container = {
        "name": "cuda",
        "image": image,
        "command": ["sh", "-c", PROGRAM],
        "resources": {"limits": {GPU: 1}},
    }
    labels = {"app": "cuda"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 1, **pod, "containers": [container]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return yaml.safe_dump(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cuda"}, "spec": spec}
    )


def recovery(kube: Kube, gpus: GpuFaults) -> Recovery:
    """Break the GPU of the Deployment's pod, wait until another pod runs on another GPU, and mend it."""
    kube.until("deployment/cuda available", seconds=60)
    [old] = kube.objects("pods", which=Which(SELECTOR))
    failed = holding(kube, gpus, old.name)
    before = allocatable(kube, failed.node)
    gpus.fail(failed.node, failed.index, reason=REASON)
    try:
        died = polling.until(lambda: dead(kube, old.name), "the container to die with its GPU", seconds=30)
        [device] = died["allocatedResourcesStatus"][0]["resources"]
        polling.until(lambda: old.name not in names(kube), "the pod to be deleted", seconds=60)
        polling.until(lambda: len(names(kube)) == 1, "its replacement", seconds=30)
        kube.until("deployment/cuda available", seconds=60)
        [new] = names(kube)
        return Recovery(
            failed=failed,
            replaced_by=holding(kube, gpus, new),
            allocatable=(before, allocatable(kube, failed.node)),
            capacity=str(kube.object(f"node/{failed.node}").at("status.capacity")[GPU]),
            health=device["health"],
            exit_code=(died["state"].get("terminated") or died["lastState"]["terminated"])["exitCode"],
            reasons=events(kube, kube.namespace, old.name),
            node_reasons=events(kube, "default", failed.node),
        )
    finally:
        gpus.heal(failed.node, failed.index)
        polling.until(
            lambda: allocatable(kube, failed.node) == before, "the GPU to be allocatable again", seconds=60
        )


def names(kube: Kube) -> list[str]:
    return [pod.name for pod in kube.objects("pods", which=Which(SELECTOR))]


def holding(kube: Kube, gpus: GpuFaults, pod: str) -> Gpu:
    """The GPU of a pod, as the pod's status tells."""
    full = f"{kube.namespace}/{pod}"
    found = polling.until(
        lambda: [gpu for gpu in gpus.ls() if gpu.pod == full], f"the GPU of {full}", seconds=20
    )
    return found[0]


def dead(kube: Kube, pod: str) -> dict[str, Any] | None:
    """The status of the container once it has died and its device is known to be unhealthy."""
    found: KubeObject = kube.object(f"pod/{pod}")
    [status] = found.at("status.containerStatuses", [{}])
    ended = status.get("state", {}).get("terminated") or status.get("lastState", {}).get("terminated")
    sick = "Unhealthy" in str(status.get("allocatedResourcesStatus"))
    return dict(status) if ended and sick else None


def allocatable(kube: Kube, node: str) -> str:
    return str(kube.object(f"node/{node}").at("status.allocatable")[GPU])


def events(kube: Kube, namespace: str, about: str) -> set[str]:
    path = f"/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.name={about}"
    return {event["reason"] for event in kube.raw(path)["items"]}
