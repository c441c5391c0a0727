"""The what-if model's setting for the study, from the course's own files, without a cluster.

This way the stored runs can be compared with the model anywhere, at any time.
"""

from __future__ import annotations

from typing import Any

from course.hpa.setting import GPU, PRODUCT, Setting
from course.study.trial import SERVERS
from labkit.kube import documents
from localcluster.provider import Spec


def documented(spec: Spec | None = None) -> Setting:
    """The servers of notebook 06 on the nodes of a lab that `labkit up` creates."""
    spec = spec or Spec()
    found = {d.obj["kind"]: d.obj for d in documents.load(SERVERS)}
    node: dict[str, Any] = {
        "metadata": {"labels": {PRODUCT: spec.gpu_product}},
        "status": {"allocatable": {GPU: str(spec.gpus_per_node)}},
    }
    return Setting.of(found["Deployment"], [node] * spec.gpu_nodes, clock=spec.clock)
