"""Where pods are, and whether they serve: what several checks of notebook 09 read from pods and nodes.

A pod with a node does not count as serving: it must be ready, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from labkit.checks.check import Finding
from localcluster.api import JsonLike
from localcluster.api.objects import dig

GPU = "nvidia.com/gpu"
POD = "spec.template.spec"
EVERYTHING = {"deployment": "deployment/llm-inference-service", "pods": "pods", "nodes": "nodes"}


Trouble = tuple[str, str]
"""(what is wrong, the hint that leads to its cause)"""

NO_GPU = "A node with GPUs is not enough: a container is given what its limits ask for, and nothing else."
ASTRAY = "Some pods are where they can't work. What does the file say about the nodes they may go to?"
NOT_READY = (
    "Pending? `kubectl events --for=pod/NAME` says what each node lacks, in the scheduler's words. "
    "Running but not ready? It is still starting: run this cell again."
)


def placed(
    deployment: JsonLike | None, pods: Sequence[JsonLike] | None, never: set[str], wrong: Sequence[Trouble]
) -> Finding:
    """All wanted pods are ready, none is on a node in `never`, and nothing else is `wrong`."""
    if deployment is None:
        return Finding(passed=False, observed="there is no deployment/llm-inference-service")
    mine = pods_of(pods, "llm-model")
    serving = [pod for pod in mine if ready(pod)]
    astray = sorted({node_of(pod) for pod in mine} & never)
    wanted = dig(deployment, "spec.replicas") or 0
    where = ", ".join(f"{n} on {name}" for name, n in sorted(Counter(map(node_of, serving)).items()))
    trouble = [*wrong, *([(f"pods on {', '.join(astray)}", ASTRAY)] if astray else [])]
    enough = len(serving) == len(mine) == wanted
    trouble += [] if enough else [(f"{len(serving)} of {wanted} ready", NOT_READY)]
    observed = "; ".join(words for words, _ in trouble) or f"all ready: {where}"
    return Finding(passed=not trouble, observed=observed, hint=trouble[0][1] if trouble else "")


def no_gpu(deployment: JsonLike | None) -> list[Trouble]:
    """What is wrong with a Deployment's GPU limit; empty if nothing is."""
    limits = dig(deployment, f"{POD}.containers.0.resources.limits") or {}
    return [] if str(limits.get(GPU, "")) == "1" else [(f"its container has no limit {GPU}: 1", NO_GPU)]


def pods_of(pods: Sequence[JsonLike] | None, app: str) -> list[JsonLike]:
    """The pods with a label `app`."""
    return [pod for pod in pods or () if dig(pod, "metadata.labels.app") == app]


def ready(pod: JsonLike) -> bool:
    """Whether a pod is ready and not terminating."""
    return is_ready(pod) and not dig(pod, "metadata.deletionTimestamp")


def is_ready(thing: JsonLike) -> bool:
    """Whether a pod's or a node's condition Ready is true."""
    conditions = dig(thing, "status.conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def node_of(pod: JsonLike) -> str:
    """The node to which a pod is assigned; empty while there is none."""
    return str(dig(pod, "spec.nodeName") or "")


def name_of(thing: JsonLike) -> str:
    """The name of an object."""
    return str(dig(thing, "metadata.name"))


def labels_of(thing: JsonLike) -> JsonLike:
    """The labels of an object."""
    return dict(dig(thing, "metadata.labels") or {})


def gpus_of(node: JsonLike) -> int:
    """How many GPUs a node offers."""
    return int((dig(node, "status.allocatable") or {}).get(GPU, 0))


def cpu_only(nodes: Sequence[JsonLike] | None) -> set[str]:
    """The names of the nodes without any GPU."""
    return {name_of(node) for node in nodes or () if not gpus_of(node)}
