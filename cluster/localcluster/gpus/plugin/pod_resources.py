"""The holders of devices, from the kubelet (PodResources v1), because `Allocate` does not name the pod."""

from __future__ import annotations

import logging
from pathlib import Path

import grpc

from localcluster.gpus.handout import MIG, RESOURCE
from localcluster.gpus.holder import Holder
from localcluster.gpus.plugin.devices import uuids
from localcluster.gpus.plugin.kubelet import pod_resources_pb2 as api
from localcluster.gpus.plugin.kubelet.pod_resources_pb2_grpc import PodResourcesListerStub

_ANSWER_SECONDS = 2.0

log = logging.getLogger(__name__)


class PodResources:
    """The kubelet's list; while it restarts, its last answer."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._last: dict[str, Holder] = {}

    async def holders(self) -> dict[str, Holder]:
        """The container that holds each GPU or slice (by UUID); one of them if it is shared."""
        async with grpc.aio.insecure_channel(f"unix://{self._socket}") as channel:
            lister = PodResourcesListerStub(channel)
            try:
                answer = await lister.List(api.ListPodResourcesRequest(), timeout=_ANSWER_SECONDS)
                self._last = _holders(answer)
            except grpc.aio.AioRpcError as error:
                log.warning("the kubelet did not list the pods' devices: %s", error.details())
        return self._last


def _holders(answer: api.ListPodResourcesResponse) -> dict[str, Holder]:
    return {
        uuid: Holder(pod.namespace, pod.name, container.name)
        for pod in answer.pod_resources
        for container in pod.containers
        for devices in container.devices
        if devices.resource_name == RESOURCE or devices.resource_name.startswith(MIG)
        for uuid in uuids(devices.device_ids)
    }
