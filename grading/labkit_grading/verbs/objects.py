"""The objects whose verbs a student's process can use: the lab, its parts, and what the lab returned.

An object of any other class has no verbs, and nothing can be read from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from course.hpa.simulator import Outcome
from course.study.trial import Trial
from labkit.evidence.cold_start import StartWatch
from labkit.evidence.pace import Pacing
from labkit.evidence.recording import Recording
from labkit.evidence.states import Follower
from labkit.kube.client import Kube
from labkit.lab import Lab
from labkit.load import Running
from labkit.parts.faults import Faults
from labkit.parts.images import Images
from labkit.parts.nodes import Nodes
from labkit_grading.verbs.table import VERBS
from localcluster.images.workshop import Built, Layer, Push
from localcluster.provider import RegistryAccess

OWNERS: Mapping[type, str] = {
    Lab: "",
    Faults: "faults.",
    Images: "images.",
    Nodes: "nodes.",
    Kube: "kube.",
    Recording: "record.",
    Running: "load.",
    Follower: "follow.",
    Pacing: "pace.",
    StartWatch: "time_start.",
    Outcome: "what_if.",
}
"""What the verbs of a class begin with in the table: that by which a cell gets such an object."""
READ: Mapping[type, tuple[str, ...]] = {
    Built: ("digest", "layers", "manifest"),
    Layer: ("digest", "instruction", "number", "size"),
    Push: ("bytes_sent", "digest", "layers", "sent"),
    Trial: ("bill", "load", "run"),
    Outcome: ("curve", "desired", "gpu_seconds", "queue", "ready", "seconds"),
    RegistryAccess: ("host", "username", "password"),  # every pod of the lab has that login, too
}
"""What a cell may read of an object that stays with the grader."""


def permitted(target: Any, name: str) -> str:
    """The verb's name in the table; empty if it is not allowed on this object."""
    for kind, owner in OWNERS.items():
        if isinstance(target, kind) and "." not in name:
            verb = VERBS.get(f"{owner}{name}")
            return f"{owner}{name}" if verb and not (verb.refused or verb.local) else ""
    return ""
