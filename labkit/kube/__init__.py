"""Kubernetes in a cell: nouns and verbs as kubectl says them.

>>> from labkit.kube import Kube

Names are looked up when they are first used: the Kubernetes client takes 0.4 s to import, and `labkit up`,
which needs only `labkit.kube.clock`, shall not wait for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.kube.apply import Applied as Applied
    from labkit.kube.client import Kube as Kube
    from labkit.kube.client import Which as Which
    from labkit.kube.objects import KubeObject as KubeObject
    from labkit.kube.objects import Table as Table
    from labkit.kube.watch import Change as Change

_HOME = {
    "Applied": "apply",
    "Change": "watch",
    "Kube": "client",
    "KubeObject": "objects",
    "Table": "objects",
    "Which": "client",
}

__all__ = ["Applied", "Change", "Kube", "KubeObject", "Table", "Which"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
