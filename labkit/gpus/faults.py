"""How a person breaks a simulated GPU: an annotation of its node, on every rung the same.

    kubectl annotate node gpu-node-1 failed.labkit.dev/GPU-…="Xid 79: GPU has fallen off the bus"
    kubectl annotate node gpu-node-1 failed.labkit.dev/GPU-…-

`labkit gpu fail` and `labkit gpu heal` write it; whoever looks after the node's devices obeys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

PREFIX = "failed.labkit.dev/"
DEFAULT_REASON = "Xid 79: GPU has fallen off the bus"
"""https://docs.nvidia.com/deploy/xid-errors/"""


def wanted(node: Mapping[str, Any]) -> dict[str, str]:
    """The devices (by UUID) that are to fail, each with its reason."""
    annotations = node["metadata"].get("annotations") or {}
    return {
        key.removeprefix(PREFIX): why.strip() or "unknown"
        for key, why in annotations.items()
        if key.startswith(PREFIX)
    }


def patch(device: str, reason: str | None) -> Json:
    """What to merge into the node: a reason lets the device fail, None heals it."""
    return {"metadata": {"annotations": {PREFIX + device: reason}}}
