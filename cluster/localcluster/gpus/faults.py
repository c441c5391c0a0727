"""How to break a simulated GPU: an annotation of its node, the same with every provider.

    kubectl annotate node gpu-node-1 failed.labkit.dev/GPU-…="Xid 79: GPU has fallen off the bus"
    kubectl annotate node gpu-node-1 failed.labkit.dev/GPU-…-

`localcluster gpu fail` and `localcluster gpu heal` write it; the program that manages the node's devices
applies it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcluster.api import Json

PREFIX = "failed.labkit.dev/"
DEFAULT_REASON = "Xid 79: GPU has fallen off the bus"
"""https://docs.nvidia.com/deploy/xid-errors/"""


def wanted(node: Mapping[str, Any]) -> dict[str, str]:
    """The devices (by UUID) that must fail, each with its reason."""
    annotations = node["metadata"].get("annotations") or {}
    return {
        key.removeprefix(PREFIX): why.strip() or "unknown"
        for key, why in annotations.items()
        if key.startswith(PREFIX)
    }


def patch(device: str, reason: str | None) -> Json:
    """What to merge into the node: a reason makes the device fail, None heals it."""
    return {"metadata": {"annotations": {PREFIX + device: reason}}}
