"""Undoes people's changes to nodes, so that they are as they registered.

A label without a domain in its key was set by a person, and so was a taint that Kubernetes did not set. No
others are touched. Use it only on nodes that labkit made.
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
"""

from __future__ import annotations

from typing import Any

from labkit.kube.client import Kube
from localcluster.api.objects import KubeObject

KWOK = "kwok"
OURS = ("kubernetes.io", "k8s.io")
"""Domains of keys that the system sets: node-role.kubernetes.io, node.kubernetes.io, kwok.x-k8s.io, …"""


def tidy(kube: Kube) -> list[str]:
    """Remove people's labels and taints from all nodes and uncordon them; return the changed ones."""
    changed = []
    for node in kube.objects("nodes"):
        change = {} if node.labels.get("type") == KWOK else undo(node)
        if change:
            kube.patch(f"node/{node.name}", change)
            changed.append(node.name)
    return changed


def undo(node: KubeObject) -> dict[str, Any]:
    """The merge patch that undoes people's changes to one node; empty if there are none."""
    labels = dict.fromkeys(key for key in node.labels if "/" not in key)
    taints = node.at("spec.taints", None) or []
    kept = [taint for taint in taints if taint["key"].partition("/")[0].endswith(OURS)]
    spec: dict[str, Any] = {"taints": kept} if kept != taints else {}
    spec |= {"unschedulable": None} if node.at("spec.unschedulable") else {}
    change: dict[str, Any] = {"metadata": {"labels": labels}} if labels else {}
    return change | ({"spec": spec} if spec else {})
