"""KEDA beside a running cluster: started on demand, removed with all of its objects.

Most have a finalizer, which KEDA's operator removes: so they are deleted while it runs. If it does not, they
lose it here; or custom resources and namespaces would end for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from localcluster import polling
from localcluster.api import MERGE
from localcluster.api.client import Api, Request
from localcluster.api.objects import KubeObject
from localcluster.errors import WaitTimeout
from localcluster.provider import Provider, RunsKeda, only_embedded

Report = Callable[[str], None]

SCALED = ("keda.sh/v1alpha1/scaledobjects", "keda.sh/v1alpha1/scaledjobs")
OTHERS = (
    "keda.sh/v1alpha1/triggerauthentications",
    "keda.sh/v1alpha1/clustertriggerauthentications",
    "eventing.keda.sh/v1alpha1/cloudeventsources",
    "eventing.keda.sh/v1alpha1/clustercloudeventsources",
)
"""What ScaledObjects refer to: removed after them."""

PATIENCE = 10.0
"""Seconds that the operator has to end its objects."""


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
    if api.find("/apis/keda.sh"):  # each reset comes by here: one request where there is no KEDA
        for kinds in (SCALED, OTHERS):
            _end(api, kinds, report)
    provider.stop_keda()


def found(api: Api, kinds: Sequence[str]) -> list[str]:
    """The paths of all objects of these kinds, in all namespaces."""
    paths = []
    for kind in kinds:
        root, plural = f"/apis/{kind.rpartition('/')[0]}", kind.rpartition("/")[2]
        for obj in map(KubeObject, (api.find(f"{root}/{plural}") or {}).get("items", ())):
            scope = f"/namespaces/{obj.namespace}" if obj.namespace else ""
            paths.append(f"{root}{scope}/{plural}/{obj.name}")
    return paths


def _end(api: Api, kinds: Sequence[str], report: Report) -> None:
    if left := found(api, kinds):
        report(f"deleting {len(left)} objects of KEDA")
    for path in left:
        api.delete(path)
    try:
        polling.until(lambda: not found(api, kinds), "KEDA to end its objects", seconds=PATIENCE)
    except WaitTimeout:
        for path in found(api, kinds):
            body = {"metadata": {"finalizers": None}}
            api.send(Request(path, "PATCH", body=body, content_type=MERGE))
        polling.until(lambda: not found(api, kinds), "objects of KEDA to be gone", seconds=PATIENCE)
