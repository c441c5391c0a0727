"""What the doctor reads of KEDA: the ScaledObjects, what their triggers log in with, what their queries say.

Of Secrets only whether they exist. What can't be read is left open. Nothing is changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from labkit.doctor import extract
from labkit.doctor.facts import ScaledObject, Trigger
from labkit.errors import BadInput, LabError, Refused
from labkit.kube.client import Kube
from labkit.metrics.client import Metrics
from localcluster.api.objects import KubeObject

GROUP = "/apis/keda.sh/v1alpha1"
CLUSTER = "clustertriggerauthentication"
KEDAS = "keda"  # the namespace in which a ClusterTriggerAuthentication finds its Secrets


def scaled(kube: Kube, prometheus: Callable[[], Metrics]) -> tuple[ScaledObject, ...]:
    """The ScaledObjects of the namespace; none where there is no KEDA, or this user can't see them."""
    with contextlib.suppress(Refused):
        listed = kube.api.find(f"{GROUP}/namespaces/{kube.namespace}/scaledobjects") or {}
        found = [extract.scaled_object(KubeObject(each)) for each in listed.get("items", ())]
        return tuple(_asked(kube, prometheus, one) for one in found)
    return ()


def _asked(kube: Kube, prometheus: Callable[[], Metrics], one: ScaledObject) -> ScaledObject:
    told = (replace(t, lacking=next(_lacking(kube, t), "")) for t in one.triggers)
    return replace(one, triggers=tuple(_answered(prometheus, t) for t in told))


def _answered(prometheus: Callable[[], Metrics], asked: Trigger) -> Trigger:
    if asked.type != "prometheus":
        return asked
    try:
        metrics = prometheus()
    except LabError:
        return asked
    try:
        rows = metrics.query(asked.query, may_be_empty=True)
    except BadInput as error:
        return replace(asked, error=error.what)
    except LabError:
        return asked
    return replace(asked, answer=tuple(f"{row.value:g}" for row in rows), known=True)


def _lacking(kube: Kube, asked: Trigger) -> Iterator[str]:
    """The object that the trigger logs in with, or a Secret that this names, where it does not exist."""
    kind, _, name = asked.authentication.partition("/")
    if not name:
        return
    own = f"namespaces/{kube.namespace}/"
    place = f"{CLUSTER}s" if kind == CLUSTER else f"{own}triggerauthentications"
    found = kube.api.find(f"{GROUP}/{place}/{name}")
    if found is None:
        yield asked.authentication
        return
    where = KEDAS if kind == CLUSTER else kube.namespace
    for ref in (found.get("spec") or {}).get("secretTargetRef") or ():
        with contextlib.suppress(Refused):
            if kube.api.find(f"/api/v1/namespaces/{where}/secrets/{ref['name']}") is None:
                yield f"secret/{ref['name']}"
