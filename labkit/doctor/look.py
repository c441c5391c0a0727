"""Makes an observation: asks the API server, the pods' pages and Prometheus, one after the other.

A failure is recorded with its message, and the look goes on. Nothing in the cluster is changed.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx

from labkit.doctor import extract, gateway, keda_look, subject
from labkit.doctor.facts import (
    ApiService,
    Measured,
    Metric,
    MetricsApi,
    Observation,
    Page,
    Pod,
    Prometheus,
    Workload,
)
from labkit.errors import BadInput, ClusterError, LabError, ProviderError, Refused
from labkit.kube.client import Kube
from labkit.metrics.client import Metrics
from localcluster.api.client import Request
from localcluster.api.objects import KubeObject

ADDRESS = "labkit.dev/address"  # the node agent sets it where there is no isolation
LOOPBACK = "127.0.0.1"
METRICS = "/metrics"
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
VERSIONS = {subject.CUSTOM: "v1beta2"}  # if the APIService is not known; other groups have only v1beta1
LONGEST = 200  # letters of what a pod's server says instead of a page
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
        workloads=_workloads(kube),
        pods=tuple(extract.pod(p, now=now) for p in pods if _stays(p)),
        leaving=sum(bool(p.at("metadata.deletionTimestamp")) for p in pods),
        services=tuple(extract.service(s) for s in kube.objects("services")),
        autoscalers=tuple(extract.autoscaler(h) for h in kube.objects("hpa")),
    )
    found = replace(found, scaled=keda_look.scaled(kube, prometheus))
    every = api_services(kube)
    views = [replace(found, index=index) for index in range(_metrics(found))]
    apis = [_api(kube, view, *every) for view in views]
    found = replace(found, gateway=gateway.look(kube, prometheus))
    found = replace(found, api=apis[0])  # from here on it is known which metric is meant
    known = {
        pod.name: pod.annotations.get(ADDRESS, "") for pod in pods if pod.at("status.hostIP") == LOOPBACK
    }
    pages = tuple(_page(kube, found, pod, known.get(pod.name, "")) for pod in subject.ready(found))
    found = replace(found, pages=pages)
    seen = [_prometheus(prometheus, replace(v, api=a)) for v, a in zip(views, apis, strict=True)]
    more = tuple(Measured(api, one.series) for api, one in zip(apis[1:], seen[1:], strict=True))
    return replace(found, prometheus=seen[0], more=more)


def _workloads(kube: Kube) -> tuple[Workload, ...]:
    found = list(kube.objects("deployments"))
    with contextlib.suppress(Refused):  # the course's rights on another's cluster are for Deployments
        found += kube.objects("statefulsets")
    return tuple(extract.workload(one) for one in found)


def _metrics(found: Observation) -> int:
    hpa = subject.autoscaler(found)
    return max(1, len(hpa.metrics) if hpa else 0)


def _stays(pod: KubeObject) -> bool:
    return not pod.at("metadata.deletionTimestamp")


def _api(kube: Kube, found: Observation, every: tuple[ApiService, ...], refused: str) -> MetricsApi:
    metric = subject.metric(found)
    group = subject.group(metric.type)
    services = tuple(service for service in every if service.group == group)
    made = MetricsApi(group, services, refused, place=_place(kube, metric))
    answering = [service.version for service in services if service.available]
    if services and not answering:
        return made  # asking would only say that it is not available
    version = max(answering) if answering else VERSIONS.get(group, "v1beta1")
    root = f"/apis/{group}/{version}"
    try:
        names = tuple(r["name"] for r in _asked(kube, root)["resources"])
    except Refused as error:  # what nobody serves is not found
        return made if error.reason == "NotFound" else replace(made, names_error=error.what)
    except ClusterError as error:  # seen dead here before the API server itself notices
        behind = next((s.service for s in services if s.version == version), "")
        dead = ApiService(
            f"{version}.{group}", available=False, reason="NoAnswer", message=error.what, service=behind
        )
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


def _place(kube: Kube, metric: Metric) -> str:
    """The resource that the metric is of, with its group, as the custom metrics API lists it."""
    if metric.type != "Object":
        return "pods"
    kind = metric.about.partition("/")[0]
    try:
        resource = kube.resources.of({"apiVersion": metric.version, "kind": kind})
    except BadInput:  # the HPA says so itself
        return kind.lower()
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def _with_values(kube: Kube, found: Observation, root: str) -> MetricsApi:
    metric, within = subject.metric(found), f"{root}/namespaces/{kube.namespace}"
    try:
        if metric.type == "External":
            items = _asked(kube, f"{within}/{metric.name}", labelSelector=metric.selector)["items"]
            values = {_external(i): i["value"] for i in items}
        elif metric.type in subject.RESOURCE:
            values = _usage(_asked(kube, f"{within}/pods")["items"], metric)
        else:
            path = f"{root}/{_object(kube, found.api, metric)}/{subject.served_name(found)}"
            items = _asked(kube, path, metricLabelSelector=metric.selector)["items"]
            values = {i["describedObject"]["name"]: i["value"] for i in items}
    except ClusterError as error:
        return replace(found.api, values_error=error.what)
    return replace(found.api, values=values)


def _object(kube: Kube, api: MetricsApi, metric: Metric) -> str:
    """Whose metric is asked for: that of every pod, or that of one object."""
    name = metric.about.partition("/")[2]
    if metric.type == "Object" and api.place == "namespaces":
        return f"namespaces/{name}/metrics"
    return f"namespaces/{kube.namespace}/{api.place}/{name or '*'}"


def _external(item: dict[str, Any]) -> str:
    labels = item.get("metricLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or str(item["metricName"])


def _asked(kube: Kube, path: str, **params: str) -> Any:
    """The adapter's answer; it can hang, and so can Prometheus behind it."""
    given = {name: value for name, value in params.items() if value}
    return kube.api.send(Request(path, params=given, seconds=PATIENCE, once=True)).json


def _usage(items: list[dict[str, Any]], metric: Metric) -> dict[str, str]:
    """The usage of each pod of which the API knows it, container by container or of the one that is meant."""
    found = {}
    for item in items:
        counted = [c["usage"] for c in item["containers"] if metric.container in {"", c["name"]}]
        if counted and all(metric.name in usage for usage in counted):
            found[item["metadata"]["name"]] = " + ".join(usage[metric.name] for usage in counted)
    return found


def _page(kube: Kube, found: Observation, pod: Pod, address: str) -> Page:
    """The page at the annotated path, else the usual one: a wrong path is no fault of the server."""
    answer = Page(pod.name, error="not queried")
    for path in dict.fromkeys([pod.annotations.get("prometheus.io/path", METRICS), METRICS]):
        try:
            text = _fetched(address, path) if address else _proxied(kube, found, pod, path)
        except (LabError, httpx.HTTPError) as error:
            answer = Page(pod.name, error=_plain(str(getattr(error, "what", error))) or type(error).__name__)
        else:
            return Page(pod.name, extract.metric_names(text))
    return answer


def _plain(text: str) -> str:
    """A server's words on one line: an error is often a page of HTML."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())[:LONGEST]


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
