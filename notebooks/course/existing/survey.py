"""Surveys a cluster before the course begins: what is there, and what this user is allowed to do.

For what can't be seen, the error is recorded. Changes nothing, and looks into no namespaces other than the
course's own and `monitoring`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from labkit.doctor.facts import ApiService, Labels, Prometheus
from labkit.doctor.look import api_services
from labkit.errors import ClusterError, LabError, ProviderError, Refused
from labkit.kube import namespaces
from labkit.kube.client import Kube
from labkit.metrics.client import Metrics
from localcluster.api.client import Request

GPU = "nvidia.com/gpu"
GPU_METRIC = "DCGM_FI_DEV_FB_USED"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
AT_ONCE = 8  # parallel requests; a distant API server takes a tenth of a second for each


@dataclass(frozen=True)
class Right:
    """One thing that the course does in the cluster: a verb on a resource."""

    verb: str
    resource: str
    group: str = ""
    everywhere: bool = False
    """In the whole cluster, not in the course's namespace."""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"


@dataclass(frozen=True)
class Survey:
    """What was found. An empty `version` means that the API server could not be asked: `error` says why."""

    server: str
    namespace: str
    version: str = ""
    error: str = ""
    refused: tuple[Right, ...] = ()
    labels: Labels | None = None
    """Of the course's namespace; None where it does not exist."""
    hidden: str = ""
    """Why it is not known whether it exists."""
    gpus: Mapping[str, int] | None = None
    """Node → allocatable GPUs; None where nodes may not be listed."""
    services: tuple[ApiService, ...] = ()
    groups: tuple[str, ...] = ()
    pull_secret: bool = False
    registry: str = ""
    prometheus: Prometheus = field(default_factory=Prometheus)
    gpu_series: int = 0


@dataclass(frozen=True)
class Question:
    """What to ask for: rights, the name of the pull secret; and the registry that is known already."""

    rights: tuple[Right, ...]
    secret: str
    registry: str = ""


def survey(kube: Kube, question: Question, prometheus: Callable[[], Metrics]) -> Survey:
    """Ask for all of it; never raises for anything that the cluster refuses."""
    found = Survey(kube.api.host, kube.namespace, registry=question.registry)
    try:
        found = replace(found, version=kube.raw("/version")["gitVersion"])
        found = replace(found, refused=_refused(kube, question.rights))
    except ClusterError as error:
        return replace(found, version="", error=error.what)
    found = _namespace(kube, question, found)
    found = replace(found, gpus=_gpus(kube), services=api_services(kube)[0], groups=_groups(kube))
    return _prometheus(prometheus, found)


def _refused(kube: Kube, rights: tuple[Right, ...]) -> tuple[Right, ...]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        allowed = list(pool.map(lambda right: may(kube, right), rights))
    return tuple(right for right, yes in zip(rights, allowed, strict=True) if not yes)


def may(kube: Kube, right: Right) -> bool:
    """`kubectl auth can-i`: a SelfSubjectAccessReview, which every user may create."""
    resource, _, sub = right.resource.partition("/")
    asked = {"verb": right.verb, "group": right.group, "resource": resource, "subresource": sub}
    place = {} if right.everywhere else {"namespace": kube.namespace}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {**asked, **place}},
    }
    return bool(kube.api.send(Request(REVIEWS, "POST", body=body)).json["status"]["allowed"])


def _namespace(kube: Kube, question: Question, found: Survey) -> Survey:
    try:
        there = namespaces.find(kube.api, kube.namespace)
    except Refused as error:
        return replace(found, hidden=error.what)
    if there is None:
        return found
    secret = _answers(kube, f"/api/v1/namespaces/{kube.namespace}/secrets/{question.secret}")
    return replace(found, labels=there.labels, pull_secret=secret is not None)


def _gpus(kube: Kube) -> dict[str, int] | None:
    try:
        nodes = kube.objects("nodes")
    except Refused:
        return None
    counts = {n.name: int((n.at("status.allocatable", None) or {}).get(GPU, 0)) for n in nodes}
    return {name: count for name, count in counts.items() if count}


def _groups(kube: Kube) -> tuple[str, ...]:
    answer = _answers(kube, "/apis")
    return tuple(group["name"] for group in answer["groups"]) if answer else ()


def _answers(kube: Kube, path: str) -> Any:
    """What is under a path; None if this user gets nothing there."""
    try:
        return kube.raw(path)
    except Refused:
        return None


def _prometheus(connect: Callable[[], Metrics], found: Survey) -> Survey:
    try:
        metrics = connect()
    except ProviderError as error:
        return replace(found, prometheus=Prometheus(error=f"{error.what} {error.fix}"))
    try:
        series = len(metrics.query(GPU_METRIC, may_be_empty=True))
    except LabError as error:
        return replace(found, prometheus=Prometheus(metrics.url, error.what))
    return replace(found, prometheus=Prometheus(metrics.url), gpu_series=series)
