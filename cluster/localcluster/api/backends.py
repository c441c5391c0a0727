"""Whether a Service has somebody who answers, as the pods themselves say it.

Not as EndpointSlices do: those of a Service that was only just created come a moment later.
"""

from __future__ import annotations

from localcluster.api.client import Api
from localcluster.api.objects import KubeObject


def ready(api: Api, namespace: str, service: str) -> bool:
    """Whether a pod that the Service selects is ready; no if it selects none, or does not exist."""
    found = api.find(f"/api/v1/namespaces/{namespace}/services/{service}")
    selector = KubeObject(found or {}).at("spec.selector")
    if not selector:
        return False
    wanted = ",".join(f"{key}={value}" for key, value in selector.items())
    pods = api.get(f"/api/v1/namespaces/{namespace}/pods", labelSelector=wanted)["items"]
    return any(KubeObject({"kind": "Pod", **pod}).is_true("Ready") for pod in pods)
