"""The simulated GPUs of a lab's nodes: how they are, who holds them, and how a person breaks and mends one.

Asks the API server only, so it is the same on every rung. Refuses GPUs that are real.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from labkit.errors import BadInput
from labkit.gpus import faults
from labkit.gpus.device import device_uuid
from labkit.kube.client import Kube, Which
from labkit.kube.objects import KubeObject

SIMULATED = {"labkit.dev/simulated": "true", "labkit.dev/gpus": "simulated"}
"""What a node with simulated GPUs says: the embedded node the first label, a worker of kind the second."""
COUNT = "nvidia.com/gpu.count"  # a kubelet that restarts announces none for a moment: the label stays
_OVER = {"Succeeded", "Failed"}


@dataclass(frozen=True)
class Gpu:
    """One GPU; `failed` is the reason, `pod` is "namespace/name" of its holder. Both are empty as a rule."""

    node: str
    index: int
    uuid: str
    product: str
    failed: str = ""
    pod: str = ""


class GpuFaults:
    """The GPUs of one lab, by its name: their UUIDs follow from it."""

    def __init__(self, kube: Kube, lab: str) -> None:
        self._kube = kube
        self._lab = lab

    def ls(self) -> list[Gpu]:
        """Every simulated GPU, by node and index."""
        pods = dict(self._holders())
        return [
            gpu for node in self._kube.objects("nodes") if _simulated(node) for gpu in self._of(node, pods)
        ]

    def fail(self, node: str, gpu: str | int, *, reason: str = faults.DEFAULT_REASON) -> str:
        """Let a GPU (its index, or its UUID) fail; says which. Its node and its pod follow within seconds."""
        found = self._find(node, gpu)
        self._kube.patch(f"node/{node}", faults.patch(found.uuid, reason))
        return f"node/{node}: GPU {found.index} ({found.uuid}) fails: {reason}"

    def heal(self, node: str, gpu: str | int) -> str:
        """Mend a GPU again; fine where it is healthy."""
        found = self._find(node, gpu)
        self._kube.patch(f"node/{node}", faults.patch(found.uuid, None))
        return f"node/{node}: GPU {found.index} ({found.uuid}) is well"

    def _find(self, node: str, gpu: str | int) -> Gpu:
        found = self._kube.object(f"node/{node}")
        if not _simulated(found):
            raise BadInput(
                f"The GPUs of node {node} are not simulated by labkit.",
                cause="It has none, or they are real: nothing here would break those.",
                fix="`labkit gpu ls` lists those that can be made to fail.",
            )
        known = list(self._of(found, {}))
        for each in known:
            if str(gpu) in {str(each.index), each.uuid}:
                return each
        raise BadInput(
            f"Node {node} has no GPU {gpu}.",
            cause=f"It has {len(known)}: {', '.join(str(each.index) for each in known) or 'none'}.",
            fix="Name one by its index or its UUID; `labkit gpu ls` lists both.",
        )

    def _of(self, node: KubeObject, pods: dict[str, str]) -> Iterator[Gpu]:
        failed = faults.wanted(node.raw)
        product = node.labels.get("nvidia.com/gpu.product", "")
        for index in range(int(node.labels[COUNT])):
            uuid = device_uuid(lab=self._lab, node=node.name, index=index)
            yield Gpu(node.name, index, uuid, product, failed.get(uuid, ""), pods.get(uuid, ""))

    def _holders(self) -> Iterator[tuple[str, str]]:
        """UUID and pod, as the kubelets report it in the pods' status."""
        for pod in self._kube.objects("pods", which=Which(namespace="")):
            if pod.at("status.phase") in _OVER:
                continue
            for container in pod.at("status.containerStatuses", ()):
                for status in container.get("allocatedResourcesStatus", ()):
                    for device in status["resources"]:
                        yield device["resourceID"], f"{pod.namespace}/{pod.name}"


def _simulated(node: KubeObject) -> bool:
    return COUNT in node.labels and any(node.labels.get(key) == value for key, value in SIMULATED.items())
