"""The downward API: what a pod can learn about itself and its node, in its environment and in files.

Pure. A missing limit counts as the node's: the most that the container can get.
https://kubernetes.io/docs/concepts/workloads/pods/downward-api/
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from localcluster.api import Json
from localcluster.api.objects import dig
from localcluster.node.config import NodeSpec
from localcluster.quantities import amount

DISK = 200 * 2**30  # bytes of a node
_EVICTION_MEMORY = 100 * 2**20  # the kubelet reserves this (evictionHard memory.available)
_EVICTION_DISK = 0.9  # and a tenth of the disk (nodefs.available)
_OF_THE_NODE = ("cpu", "memory", "ephemeral-storage")
_OF_THE_POD = ("cpu", "memory")  # what pod-level resources may limit
_ESCAPES = str.maketrans(
    {**dict(zip("\a\b\f\n\r\t\v", map("\\{}".format, "abfnrtv"), strict=True)), "\\": "\\\\", '"': '\\"'}
)


def allocatable(spec: NodeSpec) -> dict[str, str]:
    """What a node gives to its pods, without its devices."""
    return {
        "cpu": str(spec.cpu),
        "memory": f"{(int(amount(spec.memory)) - _EVICTION_MEMORY) // 1024}Ki",
        "ephemeral-storage": str(int(DISK * _EVICTION_DISK)),
    }


def field(path: str, pod: Json) -> str:
    """A fieldRef."""
    if match := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
        return str((pod["metadata"].get(match[1]) or {}).get(match[2], ""))
    if path in {"metadata.labels", "metadata.annotations"}:
        values: Json = pod["metadata"].get(path.partition(".")[2]) or {}
        return "\n".join(f'{name}="{_escaped(value)}"' for name, value in sorted(values.items()))
    if path in {"status.podIPs", "status.hostIPs"}:
        return ",".join(entry["ip"] for entry in pod.get("status", {}).get(path.partition(".")[2], ()))
    return str(dig(pod, path, ""))


def _escaped(value: str) -> str:
    """As Go quotes a string: what can't be printed by its number."""
    shown = value.translate(_ESCAPES)
    return "".join(c if c.isprintable() else _numbered(ord(c)) for c in shown)


def _numbered(code: int) -> str:
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def resource(reference: Json, container: Json, pod: Json, node: Mapping[str, str]) -> str:
    """A resourceFieldRef in units of its divisor, rounded up; `node` is what the node has to give."""
    containers: Sequence[Json] = (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ()))
    name = reference.get("containerName")
    owner = next((c for c in containers if c["name"] == name), container)
    which, _, what = reference["resource"].partition(".")
    quantity = amount((owner.get("resources", {}).get(which) or {}).get(what, "0"))
    if which == "limits" and not quantity and what in _OF_THE_NODE:
        quantity = amount(_pod_limit(what, pod) or node.get(what, "0"))
    step = 1000 if what == "cpu" else 1  # CPU is counted in thousandths
    divisor = amount(reference.get("divisor") or "1") or amount("1")
    return str(math.ceil(math.ceil(quantity * step) / math.ceil(divisor * step)))


def _pod_limit(what: str, pod: Json) -> str:
    """The limit of the pod as a whole, if it has one."""
    limits = (pod["spec"].get("resources") or {}).get("limits") or {}
    found = str(limits.get(what, "")) if what in _OF_THE_POD else ""
    return found if found and amount(found) else ""
