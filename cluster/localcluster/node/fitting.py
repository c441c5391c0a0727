"""Whether a node can run a pod that bypassed the scheduler by setting `nodeName`. Pure.

The kubelet's checks of operating system, features, resources, labels and host ports, in its order and words.
`admission.py` checks devices; only the scheduler checks taints here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from localcluster.api import Json
from localcluster.node.pod.restarts import is_sidecar, restarts_all
from localcluster.quantities import amount

_OS = "kubernetes.io/os"
_RESOURCES = {"cpu": 1000, "memory": 1, "ephemeral-storage": 1}  # units in messages: m, bytes, bytes


class Rejection(Exception):
    """The node can't take the pod; reason and message are the kubelet's."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def check(pod: Json, node: Json, others: Sequence[Json]) -> None:
    """Raise `Rejection` if the pod does not fit; `others` are the specs of the pods on the node."""
    spec = pod["spec"]
    if (pod["metadata"].get("labels") or {}).get(_OS, "linux") != "linux":
        said = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        raise Rejection("PodOSSelectorNodeLabelDoesNotMatch", said)
    if (spec.get("os") or {}).get("name", "linux") != "linux":
        raise Rejection("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    if any(restarts_all(c) for c in _containers(spec)):
        said = "Pod requires node features that are not available: RestartAllContainersOnContainerExits"
        raise Rejection("PodFeatureUnsupported", said)
    check_resources(spec, node["status"].get("allocatable") or {}, others)
    if not _wanted(spec, node["metadata"]):
        said = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
        raise Rejection("NodeAffinity", said)
    check_host_ports(spec, others)


def check_host_ports(spec: Json, others: Sequence[Json]) -> None:
    """Raise `Rejection` if another pod has one of its host ports."""
    taken = [port for other in others for port in _host_ports(other)]
    if any(_collide(one, other) for one in _host_ports(spec) for other in taken):
        said = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
        raise Rejection("NodePorts", said)


def _containers(spec: Json) -> list[Json]:
    return [*(spec.get("initContainers") or ()), *spec["containers"]]


# Resources --------------------------------------------------------------------------------------------------


def check_resources(spec: Json, allocatable: Mapping[str, str], others: Sequence[Json]) -> None:
    """Raise `Rejection` if a node has no room for these requests beside the `others`."""
    _check("pods", 1, len(others), int(amount(allocatable.get("pods", "110"))))
    for name, unit in _RESOURCES.items():
        wanted = int(requested(spec, name) * unit)
        used = sum(int(requested(other, name) * unit) for other in others)
        if wanted and name in allocatable:
            _check(name, wanted, used, int(amount(allocatable[name]) * unit))
    for name in _huge_pages(spec):
        _check(name, int(requested(spec, name)), 0, int(amount(allocatable.get(name, "0"))))


def _huge_pages(spec: Json) -> set[str]:
    asked = [c.get("resources") or {} for c in (*_containers(spec), spec)]
    return {name for each in asked for name in each.get("requests") or () if name.startswith("hugepages-")}


def _check(name: str, wanted: int, used: int, capacity: int) -> None:
    if wanted > capacity - used:
        counts = f"requested: {wanted}, used: {used}, capacity: {capacity}"
        said = f"Node didn't have enough resource: {name}, {counts}"
        raise Rejection(f"OutOf{name}", said)


def requested(spec: Json, name: str) -> Decimal:
    """What a pod asks for of one resource: its containers together, or an init container that needs more.

    Sidecars count with the containers, and with the init containers after them.
    """
    sidecars = most = Decimal(0)
    for container in spec.get("initContainers") or ():
        if is_sidecar(container):
            sidecars += _request(container, name)
            most = max(most, sidecars)
        else:
            most = max(most, sidecars + _request(container, name))
    together = sidecars + sum((_request(c, name) for c in spec["containers"]), Decimal(0))
    whole = (spec.get("resources") or {}).get("requests") or {}  # of the pod as such
    base = amount(whole[name]) if name in whole else max(most, together)
    return base + amount((spec.get("overhead") or {}).get(name, 0))


def _request(container: Json, name: str) -> Decimal:
    return amount(((container.get("resources") or {}).get("requests") or {}).get(name, 0))


# Labels -----------------------------------------------------------------------------------------------------


def _wanted(spec: Json, node: Json) -> bool:
    """Whether the pod's nodeSelector and its required node affinity accept the node."""
    labels = node.get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_term(term, labels, {"metadata.name": node["name"]}) for term in required["nodeSelectorTerms"])


def _term(term: Json, labels: Json, fields: Json) -> bool:
    expressions, by_field = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not by_field:
        return False  # an empty term accepts nothing
    return all(_holds(e, labels) for e in expressions) and all(_holds(e, fields) for e in by_field)


def _holds(expression: Json, values: Json) -> bool:
    found, wanted = values.get(expression["key"]), expression.get("values") or []
    match expression["operator"]:
        case "In":
            return found in wanted
        case "NotIn":
            return found not in wanted
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
        case how:
            return _compares(how, found, wanted)


def _compares(how: str, found: str | None, wanted: list[str]) -> bool:
    left, right = _number(found or ""), _number(wanted[0])
    if left is None or right is None:
        return False
    return left > right if how == "Gt" else left < right


def _number(text: str) -> int | None:
    """As Go reads an int64: Python also takes `1_000` and figures of other scripts."""
    number = int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else None
    return number if number is not None and -(2**63) <= number < 2**63 else None


# Host ports -------------------------------------------------------------------------------------------------


def _host_ports(spec: Json) -> Iterator[tuple[str, str, int]]:
    for container in _containers(spec):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("protocol") or "TCP", port.get("hostIP") or "0.0.0.0", int(port["hostPort"])  # noqa: S104 - as the API means it


def _collide(one: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
    same = one[0] == other[0] and one[2] == other[2]
    return same and (one[1] == other[1] or "0.0.0.0" in {one[1], other[1]})  # noqa: S104 - as the API means it
