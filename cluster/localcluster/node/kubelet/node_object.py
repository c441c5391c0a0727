"""What a simulated machine reports about itself: the Node object, built from its specification.

Pure. The OS image and a label show people that the machine is simulated. Capacity is what the specification
gives, not what the host has.
"""

from __future__ import annotations

import os
import platform
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from localcluster.api import Json
from localcluster.api.times import stamp
from localcluster.gpus import feature_discovery
from localcluster.gpus.sharing import WHOLE, Sharing
from localcluster.node.config import NodeSpec
from localcluster.node.process import downward
from localcluster.quantities import amount
from localcluster.toolchain.versions import kubernetes

RUNTIME_VERSION = "bubblewrap://0.11"

_PODS = "110"
_IMAGES = 50  # the kubelet's nodeStatusMaxImages
_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}

_HEALTHY = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "the simulated kubelet is ready to run pods"),
)


@dataclass(frozen=True)
class Machine:
    """What changes about a node while it runs."""

    ip: str
    kubelet_port: int
    healthy_gpus: int
    ready_since: float  # seconds since the epoch
    images: Mapping[str, int] = field(default_factory=dict)  # name by digest -> bytes
    sharing: Sharing = WHOLE
    announced: frozenset[str] = frozenset()  # resources of this and of earlier divisions


def labels(spec: NodeSpec, sharing: Sharing = WHOLE) -> dict[str, str]:
    """The kubelet's own labels, GPU feature discovery's, the lab's, and the specification's on top."""
    gpus = feature_discovery.labels(
        product=spec.gpu_product, memory_mib=spec.gpu_memory_mib, count=spec.gpus, sharing=sharing
    )
    return {
        "kubernetes.io/hostname": spec.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": _ARCH.get(platform.machine(), "amd64"),
        "labkit.dev/simulated": "true",
        **gpus,
        **spec.labels,
    }


def node(spec: NodeSpec, machine: Machine, *, now: float) -> Json:
    """The whole object, for its creation; only then can nodes set their status and taints."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": spec.name, "labels": labels(spec, machine.sharing)},
        "spec": {
            "podCIDR": f"10.244.{spec.index}.0/24",
            "podCIDRs": [f"10.244.{spec.index}.0/24"],
            "taints": spec.taints,
        },
        "status": status(spec, machine, now=now),
    }


def status(spec: NodeSpec, machine: Machine, *, now: float) -> Json:
    """The status as of `now`."""
    return {
        "addresses": [{"type": "InternalIP", "address": machine.ip}],
        "capacity": _capacity(spec, machine),
        "allocatable": _allocatable(spec, machine),
        "conditions": [
            {
                "type": kind,
                "status": value,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": stamp(now),
                "lastTransitionTime": stamp(machine.ready_since),
            }
            for kind, value, reason, message in _HEALTHY
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": machine.kubelet_port}},
        # With this the API server passes `kubectl exec` on as a WebSocket instead of SPDY.
        "declaredFeatures": ["ExtendWebSocketsToKubelet"],
        "nodeInfo": _info(spec),
        "images": _images(machine.images),
    }


def _capacity(spec: NodeSpec, machine: Machine) -> dict[str, str]:
    found = {
        "cpu": str(spec.cpu),
        "memory": f"{int(amount(spec.memory)) // 1024}Ki",
        "ephemeral-storage": f"{downward.DISK // 1024}Ki",
        "pods": _PODS,
    }
    return found | _gpus(spec, machine, spec.gpus * machine.sharing.per_gpu)


def _gpus(spec: NodeSpec, machine: Machine, count: int) -> dict[str, str]:
    """What the device plugin announces; a resource that it announced before, but no longer has, is 0."""
    if not spec.gpus:
        return {}
    return dict.fromkeys(machine.announced, "0") | {machine.sharing.resource: str(count)}


def _allocatable(spec: NodeSpec, machine: Machine) -> dict[str, str]:
    found = _capacity(spec, machine) | downward.allocatable(spec)
    return found | _gpus(spec, machine, machine.healthy_gpus)


def _images(sizes: Mapping[str, int]) -> list[Json]:
    """The largest first, as the kubelet lists them: the scheduler prefers nodes that have an image."""
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:_IMAGES]
    return [{"names": [name], "sizeBytes": size} for name, size in largest]


def _info(spec: NodeSpec) -> dict[str, str]:
    identity = uuid.uuid5(uuid.NAMESPACE_DNS, f"{spec.name}.labkit.dev")
    return {
        "architecture": _ARCH.get(platform.machine(), "amd64"),
        "bootID": str(identity),
        "containerRuntimeVersion": RUNTIME_VERSION,
        "kernelVersion": os.uname().release,
        "kubeProxyVersion": "",
        "kubeletVersion": f"v{kubernetes()}+labkit",
        "machineID": identity.hex,
        "operatingSystem": "linux",
        "osImage": "labkit simulated node",
        "systemUUID": str(identity),
    }
