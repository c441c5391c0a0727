"""How large a pod's volumes in memory may get: `emptyDir` with `medium: Memory`.

As for the kubelet: the least of the node's memory, the pod's limit, and `sizeLimit`.
"""

from __future__ import annotations

from collections.abc import Mapping

import psutil

from localcluster.api import Json
from localcluster.quantities import amount

_MOST = 0.5  # of this machine's memory: a simulated node has more than there is


def is_in_memory(volume: Json) -> bool:
    """Whether a volume is an emptyDir in memory."""
    return (volume.get("emptyDir") or {}).get("medium") == "Memory"


def sizes(pod: Json, node: Mapping[str, str]) -> dict[str, int]:
    """Bytes of each volume in memory, by name. `node` is what the node has to give to its pods."""
    most = [int(amount(node.get("memory", "0"))), pod_limit(pod["spec"])]
    volumes = [v for v in pod["spec"].get("volumes", ()) if is_in_memory(v)]
    machine = int(psutil.virtual_memory().total * _MOST)
    return {
        v["name"]: min(machine, _least(*most, int(amount(v["emptyDir"].get("sizeLimit") or 0))))
        for v in volumes
    }


def _least(*limits: int) -> int:
    return min((limit for limit in limits if limit > 0), default=2**62)


def pod_limit(spec: Json) -> int:
    """The memory limit of a pod as a whole, in bytes; 0 if any container has none."""
    own = ((spec.get("resources") or {}).get("limits") or {}).get("memory")
    if own:
        return int(amount(own))
    inits = spec.get("initContainers") or ()
    sidecars = [_limit(c) for c in inits if c.get("restartPolicy") == "Always"]
    main = [_limit(c) for c in spec["containers"]] + sidecars
    before = [_limit(c) for c in inits if c.get("restartPolicy") != "Always"]
    return max(sum(main), *before, 0) if all(main) and all(before) else 0


def _limit(container: Json) -> int:
    return int(amount(((container.get("resources") or {}).get("limits") or {}).get("memory", 0)))
