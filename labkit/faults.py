"""Faults planted in the cluster's own components, outside the notebook's namespace, and undone again.

The original values are kept in an annotation of the object itself, so that `lift` (and with it `lab.reset`)
can restore them, whatever happened to the notebook. Refuses clusters that labkit did not make.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labkit.errors import NotOurs, Refused
from labkit.kube import documents
from labkit.kube.client import Kube

BEFORE = "labkit.dev/before"
KIND = "apiservices"
"""The only kind that faults change so far."""


def plant(kube: Kube, path: Path, *, owned: bool) -> list[str]:
    """Change the fields in the file; return the objects' names. `owned`: whether labkit made the cluster."""
    if not owned:
        raise NotOurs(
            f"{path.name} breaks a part of the cluster itself, and labkit did not make this cluster.",
            cause="All HPAs of the cluster would stop.",
            fix="Do this exercise on a cluster of your own: labkit up.",
        )
    planted = []
    for document in documents.load(path):
        target = f"{document.obj['kind'].lower()}/{document.obj['metadata']['name']}"
        there = kube.object(target)
        wanted = {"spec": document.obj["spec"]}
        before = there.annotations.get(BEFORE) or json.dumps(_overlap(there.raw, wanted))
        kube.patch(target, {"metadata": {"annotations": {BEFORE: before}}, **wanted})
        planted.append(target)
    return planted


def lift(kube: Kube) -> list[str]:
    """Undo all faults; return the objects' names. A user who isn't allowed to look has planted none."""
    try:
        there = kube.objects(KIND)
    except Refused:
        return []
    faulty = {f"apiservice/{obj.name}": obj.annotations[BEFORE] for obj in there if BEFORE in obj.annotations}
    for target, before in faulty.items():
        kube.patch(target, {"metadata": {"annotations": {BEFORE: None}}, **json.loads(before)})
    return list(faulty)


def _overlap(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The current values of the fields that a fault changes; None for those that are absent."""
    return {
        key: _overlap(there.get(key, {}), value) if isinstance(value, Mapping) else there.get(key)
        for key, value in wanted.items()
    }
