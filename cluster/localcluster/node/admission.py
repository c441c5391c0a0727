"""What a node assigns to a pod before it starts: an address, ports, devices."""

from __future__ import annotations

from localcluster.api import Json
from localcluster.api.asynchronous import ApiError
from localcluster.errors import Unreachable
from localcluster.gpus import handout
from localcluster.gpus.inventory import NoFreeGpu
from localcluster.node import fitting, unsupported
from localcluster.node.fitting import Rejection
from localcluster.node.pod.context import PodContext
from localcluster.node.pod.machine import Machine


async def admit(pod: PodContext) -> None:
    """Assign everything; a pod that was admitted before keeps what it has.

    Raises `Rejection` if the node can't take the pod, and `OSError` if it has no address, port or network for
    it now. The pod holds nothing then.
    """
    record, machine = pod.record, pod.machine
    if not record.pod_ip or record.over:
        node = None if _was_scheduled(pod) else await _node(machine)
        others = machine.table.held(machine.name)
        if node:
            fitting.check(pod.object, node, others)
        else:  # the scheduler knew nothing of a pod that came past it at the same moment
            fitting.check_host_ports(pod.spec, others)
        unsupported.check(pod.object)
        try:
            _give_all(pod)
        except (Rejection, OSError):
            release(pod)
            raise
        node_ip = machine.ip if machine.host_ports.work else ""
        for each in unsupported.unsupported(pod.object, node=node_ip):
            pod.tell(unsupported.EVENT, each.message, container=each.container, warning=True)
    pod.view.holds = not pod.stopping.is_set()


def _was_scheduled(pod: PodContext) -> bool:
    """The scheduler checked the same things a moment ago."""
    conditions = pod.object.get("status", {}).get("conditions", ())
    return any(c["type"] == "PodScheduled" and c["status"] == "True" for c in conditions)


async def _node(machine: Machine) -> Json | None:
    """The node as the API server has it, with labels that people set; None if there is no answer."""
    try:
        return await machine.api.get(f"/api/v1/nodes/{machine.name}")
    except (ApiError, Unreachable):
        return None


def _give_all(pod: PodContext) -> None:
    record, machine = pod.record, pod.machine
    record.over = False
    _give_devices(pod)
    on_the_node = machine.network.own and pod.spec.get("hostNetwork")
    record.pod_ip = machine.ip if on_the_node else machine.ips.take(record.uid)
    for container in _containers(pod):
        declared = [p for p in container.get("ports", ()) if p.get("protocol", "TCP") == "TCP"]
        if declared:
            numbers = [int(p["containerPort"]) for p in declared]
            record.ports[container["name"]] = machine.network.ports(record.pod_ip, numbers)
    machine.network.make(record.uid, record.pod_ip)
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
            raise Rejection(
                "UnexpectedAdmissionError",
                f"Allocate failed due to requested number of devices unavailable for {resource}. "
                f"Requested: {wanted}, Available: {free}, which is unexpected",
            ) from error
        pod.record.gpus[container["name"]] = list(given)


def _holder(pod: PodContext, container: Json) -> str:
    return f"{pod.record.uid}/{container['name']}"


def release_devices(pod: PodContext) -> None:
    """Release only the GPUs: a kubelet's devices are free as soon as the API server has no such pod."""
    for container in _containers(pod):
        pod.machine.inventory.release(_holder(pod, container))


def release(pod: PodContext) -> None:
    """Release everything, but only once: what was released before may belong to another pod by now."""
    pod.view.holds = False
    if pod.record.over:
        return
    pod.machine.take_back(pod.record)
    if pod.folder.exists():
        pod.record.save(pod.folder)
