"""Pods that hold too much of their node's memory: the kubelet's message when it evicts one.

https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/
"""

from __future__ import annotations

from localcluster.api import Json
from localcluster.quantities import amount

_THRESHOLD = "100Mi"  # the kubelet's default for memory.available


def message(spec: Json, held: int) -> str:
    """Why a pod that holds so many bytes is evicted."""
    asked = [one.get("resources", {}).get("requests", {}).get("memory", 0) for one in spec["containers"]]
    names = ", ".join(str(one["name"]) for one in spec["containers"])
    return (
        f"The node was low on resource: memory. Threshold quantity: {_THRESHOLD}, available: 0. "
        f"Container {names} was using {_kib(held)}, request is "
        f"{_kib(sum(int(amount(one)) for one in asked))}, has larger consumption of memory. "
    )


def _kib(number: int) -> str:
    return f"{number // 1024}Ki"
