"""KWOK in a pod of a kind lab: acts as the kubelets of nodes that don't exist. Started on demand."""

from __future__ import annotations

import textwrap
from string import Template
from typing import Any

import yaml

from localcluster import polling
from localcluster.api import MERGE
from localcluster.api.client import Api, Request
from localcluster.api.objects import KubeObject
from localcluster.data import DATA
from localcluster.embedded import admin
from localcluster.embedded.kwok import LEASE_SECONDS, NAME
from localcluster.kind import images
from localcluster.kind.engine import Engine
from localcluster.provider import RegistryAccess

SECONDS = 120.0
DAEMONSETS = "/apis/apps/v1/namespaces/kube-system/daemonsets"
_REAL = {
    "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [
            {"matchExpressions": [{"key": "type", "operator": "NotIn", "values": ["kwok"]}]}
        ]
    }
}
"""The node affinity of what runs on real nodes only."""
DEPLOYMENT = f"/apis/apps/v1/namespaces/monitoring/deployments/{NAME}"


def start(engine: Engine, access: RegistryAccess, api: Api) -> None:
    """Publish its image and run it; returns once it runs. Safe to repeat."""
    made = images.component(engine, NAME)
    images.publish(engine, [made], access)
    admin.apply(api, [(DATA / "kwok" / "rbac.yaml").read_text()])
    keep_away(api)
    admin.apply_objects(api, objects(made.at(access.host)))
    polling.until(lambda: _available(api), "kwok to run", seconds=SECONDS)


def stop(api: Api) -> None:
    """Remove it; safe to repeat."""
    if api.find(DEPLOYMENT):
        admin.delete_objects(api, reversed(objects("none")))
        polling.until(lambda: not _pods(api), "kwok to be gone", seconds=SECONDS)


def keep_away(api: Api) -> None:
    """Let no DaemonSet of the system run on nodes that don't exist: one that would is told their label.

    Most choose nodes by their operating system, which KWOK's don't say; a pod network may choose none.
    """
    for found in api.get(DAEMONSETS)["items"]:
        spec = found["spec"]["template"]["spec"]
        if not spec.get("nodeSelector") and not spec.get("affinity"):
            body = {"spec": {"template": {"spec": {"affinity": {"nodeAffinity": _REAL}}}}}
            api.send(
                Request(f"{DAEMONSETS}/{found['metadata']['name']}", "PATCH", body=body, content_type=MERGE)
            )


def objects(image: str) -> list[dict[str, Any]]:
    """Its Deployment, with what that needs."""
    stages = textwrap.indent((DATA / "kwok" / "stages.yaml").read_text(), " " * 4)
    text = Template((DATA / "kwok" / "deployment.yaml").read_text()).substitute(
        IMAGE=image, STAGES=stages, LEASE_SECONDS=LEASE_SECONDS
    )
    return list(yaml.safe_load_all(text))


def _available(api: Api) -> bool:
    return KubeObject(api.get(DEPLOYMENT)).is_true("Available")


def _pods(api: Api) -> list[Any]:
    found: list[Any] = api.get("/api/v1/namespaces/monitoring/pods", labelSelector=f"app={NAME}")["items"]
    return found
