"""The what-if model's setting of the study, from the course's own files: no cluster is asked.

So that the stored runs can be held against the model anywhere, at any time.
"""

from __future__ import annotations

from typing import Any

from labkit import course
from labkit.autoscaling.setting import GPU, PRODUCT, Setting
from labkit.kube import documents
from labkit.providers.base import Spec
from labkit.study.trial import SERVERS


def documented(spec: Spec | None = None) -> Setting:
    """The servers of notebook 06 on the nodes of a lab as `labkit up` makes it."""
    spec = spec or Spec()
    found = {d.obj["kind"]: d.obj for d in documents.load(course.path(SERVERS))}
    node: dict[str, Any] = {
        "metadata": {"labels": {PRODUCT: spec.gpu_product}},
        "status": {"allocatable": {GPU: str(spec.gpus_per_node)}},
    }
    return Setting.of(found["Deployment"], [node] * spec.gpu_nodes, clock=spec.clock)
