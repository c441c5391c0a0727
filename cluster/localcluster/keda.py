"""KEDA beside a running cluster: started on demand, and removed with all of its ScaledObjects.

Each has a finalizer, which KEDA's operator removes: so they are deleted while it runs. Where it does not, the
finalizers are removed here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from localcluster import polling
from localcluster.api import MERGE
from localcluster.api.client import Api, Request
from localcluster.api.objects import KubeObject
from localcluster.errors import WaitTimeout
from localcluster.provider import Provider, RunsKeda, only_embedded

Report = Callable[[str], None]

KINDS = ("scaledobjects", "scaledjobs")
GROUP = "/apis/keda.sh/v1alpha1"
PATIENCE = 10.0
"""Seconds that the operator has to end a ScaledObject."""


def start(provider: Provider, *, report: Report) -> None:
    """Run KEDA; returns once external.metrics.k8s.io answers."""
    if not isinstance(provider, RunsKeda):
        raise only_embedded(
            f"The provider {provider.name} can't run KEDA.",
            cause="KEDA has custom resources and an API of its own; a cluster's owner installs it.",
        )
    began = time.monotonic()
    report("starting KEDA (the first time it is built, which takes minutes)")
    provider.start_keda()
    report(f"KEDA serves external.metrics.k8s.io after {time.monotonic() - began:.1f} s")


def remove(api: Api, provider: Provider, *, report: Report) -> None:
    """End every ScaledObject and ScaledJob, then KEDA. Safe to repeat."""
    if not isinstance(provider, RunsKeda):
        return
    if left := found(api):
        report(f"deleting {len(left)} objects of KEDA")
    for path in left:
        api.delete(path)
    try:
        polling.until(lambda: not found(api), "KEDA to end its objects", seconds=PATIENCE)
    except WaitTimeout:
        for path in found(api):
            body = {"metadata": {"finalizers": None}}
            api.send(Request(path, "PATCH", body=body, content_type=MERGE))
        polling.until(lambda: not found(api), "objects of KEDA to be gone", seconds=PATIENCE)
    provider.stop_keda()


def found(api: Api) -> list[str]:
    """The paths of the ScaledObjects and ScaledJobs of all namespaces."""
    return [
        f"{GROUP}/namespaces/{obj.namespace}/{kind}/{obj.name}"
        for kind in KINDS
        for obj in map(KubeObject, (api.find(f"{GROUP}/{kind}") or {}).get("items", ()))
    ]
