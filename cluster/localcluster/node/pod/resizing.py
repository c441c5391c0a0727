"""In-place resize: which resources of a running pod are in force, where its object asks for others. Pure.

The API server lets only CPU and memory of containers and sidecars be changed, and nothing that the whole node
could not hold. https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/
"""

from __future__ import annotations

from collections.abc import Mapping

from localcluster.api import Json

Allocation = dict[str, Json]
"""The resources of each container, by name."""

PENDING = "PodResizePending"
IN_PROGRESS = "PodResizeInProgress"
CONDITIONS = (PENDING, IN_PROGRESS)
_KINDS = ("initContainers", "containers")


def asked(spec: Json) -> Allocation:
    """What the object asks for."""
    return {c["name"]: c.get("resources") or {} for kind in _KINDS for c in spec.get(kind) or ()}


def with_resources(spec: Json, allocation: Mapping[str, Json]) -> Json:
    """The spec with the resources that are in force."""
    return spec | {
        kind: [c | {"resources": allocation[c["name"]]} for c in spec[kind]]
        for kind in _KINDS
        if spec.get(kind)
    }


def restarts(container: Json, resources: Json) -> bool:
    """Whether the container must be restarted to get these resources, by its `resizePolicy`."""
    policies = {p["resourceName"]: p["restartPolicy"] for p in container.get("resizePolicy") or ()}
    old = container.get("resources") or {}
    return any(
        policies.get(name) == "RestartContainer"
        for name in ("cpu", "memory")
        if any(
            (old.get(k) or {}).get(name) != (resources.get(k) or {}).get(name) for k in ("requests", "limits")
        )
    )
