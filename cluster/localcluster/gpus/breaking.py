"""The simulated GPUs of a lab's nodes: their health, their holders, and how to make one fail and heal it.

Uses only the API server, so it works the same with every provider. Refuses real GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from localcluster.api import MERGE, Json
from localcluster.api.client import Api, Request
from localcluster.api.objects import KubeObject
from localcluster.errors import BadInput
from localcluster.gpus import faults
from localcluster.gpus.device import device_uuid

SIMULATED = {"labkit.dev/simulated": "true", "labkit.dev/gpus": "simulated"}
"""Labels of nodes with simulated GPUs: the first on embedded nodes, the second on kind's workers."""
COUNT = "nvidia.com/gpu.count"  # a kubelet that restarts announces none for a moment: the label stays
_OVER = {"Succeeded", "Failed"}


@dataclass(frozen=True)
class Gpu:
    """One GPU; `failed` is the reason, `pod` is "namespace/name" of its holder; both can be empty."""

    node: str
    index: int
    uuid: str
    product: str
    failed: str = ""
    pod: str = ""


class GpuFaults:
    """The GPUs of one lab, by its name: their UUIDs follow from it."""

    def __init__(self, api: Api, lab: str) -> None:
        self._api = api
        self._lab = lab

    def ls(self) -> list[Gpu]:
        """Every simulated GPU, by node and index."""
        pods = dict(self._holders())
        return [
            gpu for node in self._list("/api/v1/nodes") if _has_some(node) for gpu in self._of(node, pods)
        ]

    def fail(self, node: str, gpu: str | int, *, reason: str = faults.DEFAULT_REASON) -> str:
        """Make a GPU (index or UUID) fail; returns a message. Its node and pod follow within seconds."""
        found = self._find(node, gpu)
        self._patch(node, faults.patch(found.uuid, reason))
        return f"node/{node}: GPU {found.index} ({found.uuid}) fails: {reason}"

    def heal(self, node: str, gpu: str | int) -> str:
        """Heal a GPU, if it has failed."""
        found = self._find(node, gpu)
        self._patch(node, faults.patch(found.uuid, None))
        return f"node/{node}: GPU {found.index} ({found.uuid}) is healthy"

    def _find(self, node: str, gpu: str | int) -> Gpu:
        found = KubeObject(self._api.get(f"/api/v1/nodes/{node}"))
        if not _has_some(found):
            raise BadInput(
                f"The GPUs of node {node} are not simulated.",
                cause="It has none, or they are real and can't be made to fail.",
                fix="`localcluster gpu ls` lists those that can be made to fail.",
            )
        known = list(self._of(found, {}))
        for each in known:
            if str(gpu) in {str(each.index), each.uuid}:
                return each
        raise BadInput(
            f"Node {node} has no GPU {gpu}.",
            cause=f"It has {len(known)}: {', '.join(str(each.index) for each in known) or 'none'}.",
            fix="Use an index or a UUID; `localcluster gpu ls` lists both.",
        )

    def _of(self, node: KubeObject, pods: dict[str, str]) -> Iterator[Gpu]:
        failed = faults.wanted(node.raw)
        product = node.labels.get("nvidia.com/gpu.product", "")
        for index in range(int(node.labels[COUNT])):
            uuid = device_uuid(lab=self._lab, node=node.name, index=index)
            yield Gpu(node.name, index, uuid, product, failed.get(uuid, ""), pods.get(uuid, ""))

    def _list(self, path: str) -> list[KubeObject]:
        return [KubeObject(item) for item in self._api.get(path)["items"]]

    def _patch(self, node: str, change: Json) -> None:
        self._api.send(Request(f"/api/v1/nodes/{node}", "PATCH", body=change, content_type=MERGE))

    def _holders(self) -> Iterator[tuple[str, str]]:
        """UUID and pod, as the kubelets report it in the pods' status."""
        for pod in self._list("/api/v1/pods"):
            if pod.at("status.phase") in _OVER:
                continue
            for container in pod.at("status.containerStatuses", ()):
                for status in container.get("allocatedResourcesStatus", ()):
                    for device in status["resources"]:
                        yield device["resourceID"], f"{pod.namespace}/{pod.name}"


def simulated(node: KubeObject) -> bool:
    """Whether a node, with GPUs or without, is one of labkit's."""
    return any(node.labels.get(key) == value for key, value in SIMULATED.items())


def _has_some(node: KubeObject) -> bool:
    return COUNT in node.labels and simulated(node)
