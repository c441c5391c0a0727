"""What the HPA controller asks the metrics APIs, as paths and parameters of the API server. Pure.

https://kubernetes.io/docs/reference/external-api/custom-metrics.v1beta2/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localcluster.api import selectors

GROUPS = {
    "Resource": "metrics.k8s.io",
    "ContainerResource": "metrics.k8s.io",
    "Pods": "custom.metrics.k8s.io",
    "Object": "custom.metrics.k8s.io",
    "External": "external.metrics.k8s.io",
}
"""The API group that serves each type of metric."""
SERVERS = {
    "metrics.k8s.io": "metrics-server",
    "custom.metrics.k8s.io": "an adapter such as prometheus-adapter",
    "external.metrics.k8s.io": "an adapter such as KEDA's or prometheus-adapter",
}
"""Who usually serves the group."""

Place = Callable[[str, str], str]
"""The resource of an apiVersion and a kind, as the custom metrics API names it: `deployments.apps`."""


@dataclass(frozen=True)
class Question:
    """One request below /apis/GROUP/VERSION; `resource` is what a Role has to name."""

    group: str
    path: str
    resource: str
    params: Mapping[str, str] = field(default_factory=dict)


def ask(metric: Mapping[str, Any], *, namespace: str, selector: str, place: Place) -> Question:
    """The request for one entry of `spec.metrics`; `selector` is that of the target's scale."""
    kind = str(metric["type"])
    group, within = GROUPS[kind], f"namespaces/{namespace}"
    source = metric[kind[0].lower() + kind[1:]]
    if group == "metrics.k8s.io":
        return Question(group, f"{within}/pods", "pods", {"labelSelector": selector})
    name = source["metric"]["name"]
    own = selectors.text(selectors.of(source["metric"].get("selector") or {}))
    if kind == "External":
        return Question(group, f"{within}/{name}", name, {"labelSelector": own})
    chosen = {"metricLabelSelector": own}
    if kind == "Pods":
        labels = {"labelSelector": selector}
        return Question(group, f"{within}/pods/*/{name}", f"pods/{name}", labels | chosen)
    about = source["describedObject"]
    plural = place(str(about.get("apiVersion") or "v1"), str(about["kind"]))
    if plural == "namespaces":  # a namespace's own metrics have a path of their own
        return Question(group, f"namespaces/{about['name']}/metrics/{name}", f"metrics/{name}", chosen)
    path = f"{within}/{plural}/{about['name']}/{name}"
    return Question(group, path, f"{plural}/{name}", chosen)
