"""What a node gives to a pod before anything of it starts: an address, ports, devices."""

from __future__ import annotations

from typing import Any

from labkit.gpus import handout
from labkit.gpus.inventory import NoFreeGpu
from labkit.node.pod.context import PodContext

Json = dict[str, Any]


class Rejection(Exception):
    """The node can't take the pod; the message is the kubelet's."""


def admit(pod: PodContext) -> None:
    """Give everything or raise `Rejection`; a pod that was admitted before keeps what it has."""
    record, machine = pod.record, pod.machine
    if record.pod_ip and not record.over:
        return
    record.over = False
    _give_devices(pod)
    record.pod_ip = machine.ips.take()
    for container in _containers(pod):
        declared = [p for p in container.get("ports", ()) if p.get("protocol", "TCP") == "TCP"]
        if declared:
            taken = {str(p["containerPort"]): f"127.0.0.1:{machine.ports.take()}" for p in declared}
            record.ports[container["name"]] = taken
    record.save(pod.folder)


def _containers(pod: PodContext) -> list[Json]:
    return [*pod.spec.get("initContainers", ()), *pod.spec["containers"]]


def _give_devices(pod: PodContext) -> None:
    inventory = pod.machine.inventory
    for container in _containers(pod):
        resource, wanted = handout.asked(container.get("resources") or {})
        if not wanted:
            continue
        node = pod.machine.name
        try:
            given = inventory.allocate(_holder(pod, container), node=node, count=wanted, resource=resource)
        except NoFreeGpu as error:
            free = len(inventory.free(node, resource=resource))
            release(pod)
            raise Rejection(
                f"Allocate failed due to requested number of devices unavailable for {resource}. "
                f"Requested: {wanted}, Available: {free}, which is unexpected"
            ) from error
        pod.record.gpus[container["name"]] = list(given)


def _holder(pod: PodContext, container: Json) -> str:
    return f"{pod.record.uid}/{container['name']}"


def release_devices(pod: PodContext) -> None:
    """Take the GPUs back alone: a kubelet's devices are free as soon as the API server has no such pod."""
    for container in _containers(pod):
        pod.machine.inventory.release(_holder(pod, container))


def release(pod: PodContext) -> None:
    """Take everything back; fine where nothing is held."""
    record, machine = pod.record, pod.machine
    release_devices(pod)
    for taken in record.ports.values():
        machine.ports.release(taken.values())
    if record.pod_ip:
        machine.addresses.withdraw(record.pod_ip)
        machine.ips.release(record.pod_ip)
    record.ports, record.gpus, record.over = {}, {}, True
    if pod.folder.exists():
        record.save(pod.folder)
