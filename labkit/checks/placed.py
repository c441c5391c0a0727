"""Where pods are, and whether they serve: what several checks of notebook 09 read off pods and nodes.

Refuses to take a pod that has a node for one that serves: it must be ready, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from labkit.checks.check import Finding, dig

GPU = "nvidia.com/gpu"
POD = "spec.template.spec"
EVERYTHING = {"deployment": "deployment/llm-inference-service", "pods": "pods", "nodes": "nodes"}

Json = Mapping[str, Any]


def placed(
    deployment: Json | None, pods: Sequence[Json] | None, never: set[str], wrong: Sequence[str]
) -> Finding:
    """All pods that are wanted are ready, none is on a node of `never`, and nothing else is `wrong`."""
    if deployment is None:
        return Finding(passed=False, observed="there is no deployment/llm-inference-service")
    mine = pods_of(pods, "llm-model")
    serving = [pod for pod in mine if ready(pod)]
    astray = sorted({node_of(pod) for pod in mine} & never)
    wanted = dig(deployment, "spec.replicas") or 0
    where = ", ".join(f"{n} on {name}" for name, n in sorted(Counter(map(node_of, serving)).items()))
    trouble = [*wrong, *([f"pods on {', '.join(astray)}"] if astray else [])]
    trouble += [] if len(serving) == len(mine) == wanted else [f"{len(serving)} of {wanted} ready"]
    return Finding(passed=not trouble, observed="; ".join(trouble) or f"all ready: {where}")


def no_gpu(deployment: Json | None) -> list[str]:
    """What is wrong with a Deployment's GPU limit; empty where nothing is."""
    limits = dig(deployment, f"{POD}.containers.0.resources.limits") or {}
    return [] if str(limits.get(GPU, "")) == "1" else [f"its container has no limit {GPU}: 1"]


def pods_of(pods: Sequence[Json] | None, app: str) -> list[Json]:
    """The pods with a label `app`."""
    return [pod for pod in pods or () if dig(pod, "metadata.labels.app") == app]


def ready(pod: Json) -> bool:
    """Whether a pod serves, and is not on its way out."""
    return is_ready(pod) and not dig(pod, "metadata.deletionTimestamp")


def is_ready(thing: Json) -> bool:
    """Whether a pod's or a node's condition Ready is true."""
    conditions = dig(thing, "status.conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def node_of(pod: Json) -> str:
    """The node that a pod was given; empty while it has none."""
    return str(dig(pod, "spec.nodeName") or "")


def name_of(thing: Json) -> str:
    """The name of an object."""
    return str(dig(thing, "metadata.name"))


def labels_of(thing: Json) -> Json:
    """The labels of an object."""
    return dict(dig(thing, "metadata.labels") or {})


def gpus_of(node: Json) -> int:
    """How many GPUs a node offers."""
    return int((dig(node, "status.allocatable") or {}).get(GPU, 0))


def cpu_only(nodes: Sequence[Json] | None) -> set[str]:
    """The names of the nodes without any GPU."""
    return {name_of(node) for node in nodes or () if not gpus_of(node)}
