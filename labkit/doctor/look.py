"""Makes an observation: asks the API server, the pods' pages and Prometheus, one after the other.

A failure is recorded with its message, and the look goes on. Nothing in the cluster is changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx

from labkit.doctor import extract, subject
from labkit.doctor.facts import ApiService, MetricsApi, Observation, Page, Pod, Prometheus
from labkit.errors import ClusterError, LabError, ProviderError, Refused
from labkit.kube.client import Kube
from labkit.metrics.client import Metrics
from localcluster.api.client import Request
from localcluster.api.objects import KubeObject

ADDRESS = "labkit.dev/address"  # the node agent sets it where there is no isolation
LOOPBACK = "127.0.0.1"
METRICS = "/metrics"
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
VERSIONS = {subject.CUSTOM: "v1beta2"}  # if the APIService is not known; other groups have only v1beta1
PATIENCE = 5.0  # seconds for one page of metrics, or for the adapter


def look(kube: Kube, prometheus: Callable[[], Metrics], *, hpa: str = "") -> Observation:
    """The whole path at this moment; raises only if the API server itself can't be asked."""
    now = time.time()
    pods = kube.objects("pods")
    found = Observation(
        kube.namespace,
        kube.clock,
        hpa,
        MetricsApi(""),
        Prometheus(),
        workloads=tuple(extract.workload(d) for d in kube.objects("deployments")),
        pods=tuple(extract.pod(p, now=now) for p in pods if _stays(p)),
        leaving=sum(bool(p.at("metadata.deletionTimestamp")) for p in pods),
        services=tuple(extract.service(s) for s in kube.objects("services")),
        autoscalers=tuple(extract.autoscaler(h) for h in kube.objects("hpa")),
    )
    found = replace(found, api=_api(kube, found))  # from here on it is known which metric is meant
    known = {
        pod.name: pod.annotations.get(ADDRESS, "") for pod in pods if pod.at("status.hostIP") == LOOPBACK
    }
    pages = tuple(_page(kube, found, pod, known.get(pod.name, "")) for pod in subject.ready(found))
    return replace(found, pages=pages, prometheus=_prometheus(prometheus, found))


def _stays(pod: KubeObject) -> bool:
    return not pod.at("metadata.deletionTimestamp")


def _api(kube: Kube, found: Observation) -> MetricsApi:
    group = subject.group(subject.metric(found).type)
    every, refused = api_services(kube)
    services = tuple(service for service in every if service.group == group)
    made = MetricsApi(group, services, refused)
    answering = [service.version for service in services if service.available]
    if services and not answering:
        return made  # asking would only say that it is not available
    version = max(answering) if answering else VERSIONS.get(group, "v1beta1")
    root = f"/apis/{group}/{version}"
    try:
        names = tuple(r["name"] for r in _asked(kube, root)["resources"])
    except Refused as error:
        return replace(made, names_error=error.what)
    except ClusterError as error:  # seen dead here before the API server itself notices
        dead = ApiService(f"{version}.{group}", available=False, reason="NoAnswer", message=error.what)
        return replace(made, services=(dead,))
    made = replace(made, names=names)
    return _with_values(kube, replace(found, api=made), root)


def api_services(kube: Kube) -> tuple[tuple[ApiService, ...], str]:
    """Which service serves which part of the API; or nothing, and why this user can't see it."""
    try:
        items = kube.raw(SERVICES)["items"]
    except Refused as error:
        return (), error.what
    return tuple(extract.api_service(KubeObject(item)) for item in items), ""


def _with_values(kube: Kube, found: Observation, root: str) -> MetricsApi:
    place = f"{root}/namespaces/{kube.namespace}/pods"
    try:
        if found.api.group == subject.CUSTOM:
            items = _asked(kube, f"{place}/*/{subject.served_name(found)}")["items"]
            return replace(found.api, values={i["describedObject"]["name"]: i["value"] for i in items})
        if found.api.group == subject.GROUPS["Resource"]:
            return replace(found.api, values=_usage(_asked(kube, place)["items"], found))
    except ClusterError as error:
        return replace(found.api, values_error=error.what)
    return found.api


def _asked(kube: Kube, path: str) -> Any:
    """The adapter's answer; it can hang, and so can Prometheus behind it."""
    return kube.api.send(Request(path, seconds=PATIENCE, once=True)).json


def _usage(items: list[dict[str, Any]], found: Observation) -> dict[str, str]:
    name = subject.metric(found).name
    return {
        i["metadata"]["name"]: " + ".join(c["usage"].get(name, "?") for c in i["containers"]) for i in items
    }


def _page(kube: Kube, found: Observation, pod: Pod, address: str) -> Page:
    """The page at the annotated path, else the usual one: a wrong path is no fault of the server."""
    answer = Page(pod.name, error="not queried")
    for path in dict.fromkeys([pod.annotations.get("prometheus.io/path", METRICS), METRICS]):
        try:
            text = _fetched(address, path) if address else _proxied(kube, found, pod, path)
        except (LabError, httpx.HTTPError) as error:
            answer = Page(pod.name, error=str(getattr(error, "what", error)) or type(error).__name__)
        else:
            return Page(pod.name, extract.metric_names(text))
    return answer


def _fetched(address: str, path: str) -> str:
    """Without isolation: pods are ports of this machine, where the API server's proxy can't find them."""
    answer = httpx.get(f"http://{address}{path}", trust_env=False, timeout=PATIENCE)
    return answer.raise_for_status().text


def _proxied(kube: Kube, found: Observation, pod: Pod, path: str) -> str:
    """Through the API server's proxy, so it works for every cluster."""
    workload = subject.workload(found)
    ports = [port for c in (workload.containers if workload else ()) for port in c.ports]
    port = ports[0] if ports else pod.annotations.get("prometheus.io/port", "8000")
    proxied = f"/api/v1/namespaces/{kube.namespace}/pods/{pod.name}:{port}/proxy{path}"
    return kube.api.send(Request(proxied, accept="*/*", seconds=PATIENCE, once=True)).text


def _prometheus(connect: Callable[[], Metrics], found: Observation) -> Prometheus:
    try:
        metrics = connect()
    except ProviderError as error:
        return Prometheus(error=error.what)
    try:
        targets = [extract.target(t, found.namespace) for t in metrics.targets()]
        source = subject.source(found)
        rows = metrics.query(f'{{__name__="{source}"}}', may_be_empty=True) if source else ()
    except LabError as error:
        return Prometheus(metrics.url, error.what)
    return Prometheus(
        metrics.url,
        targets=tuple(t for t in targets if t),
        series=tuple(dict(row.labels) for row in rows),
    )
