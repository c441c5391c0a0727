"""From the API server's JSON to the doctor's records. Pure; it keeps only what some hop looks at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from labkit.doctor.facts import (
    ApiService,
    Autoscaler,
    Condition,
    Container,
    Metric,
    Pod,
    ScaledObject,
    Service,
    Target,
    Trigger,
    Workload,
)
from labkit.kube.conditions import stuck
from localcluster.api import selectors
from localcluster.api.objects import KubeObject

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
REMEMBERED = "kubectl apply (last-applied-configuration)"
HPA_CONTROLLER = "kube-controller-manager"
_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)[{ ]", re.MULTILINE)
_TARGETS = ("averageValue", "averageUtilization", "value")


def workload(found: KubeObject) -> Workload:
    """A Deployment or a StatefulSet."""
    spec = found.at("spec.template.spec.containers", ())
    return Workload(
        found.name,
        found.at("spec.replicas", 1),
        found.at("spec.selector.matchLabels", {}),
        tuple(_container(KubeObject(c)) for c in spec),
        tuple(_writers(found)),
        selectors.text(selectors.of(found.at("spec.selector", {}))),
        str(found.at("kind") or "Deployment"),
    )


def _container(found: KubeObject) -> Container:
    return Container(
        str(found["name"]),
        tuple(port["containerPort"] for port in found.at("ports", ())),
        found.at("readinessProbe") is not None,
        tuple(sorted(found.at("resources.requests", None) or {})),
    )


def _writers(found: KubeObject) -> Iterable[str]:
    """Who manages spec.replicas besides the HPA and a one-off manual scale (subresource `scale`)."""
    for entry in found.at("metadata.managedFields", None) or ():
        holds = KubeObject(entry.get("fieldsV1", {})).at("f:spec.f:replicas") is not None
        if holds and entry.get("subresource") != "scale" and entry.get("manager") != HPA_CONTROLLER:
            yield f"{entry.get('manager')} ({entry.get('operation')})"
    applied = json.loads(found.annotations.get(LAST_APPLIED) or "{}")
    if KubeObject(applied).at("spec.replicas") is not None:
        yield REMEMBERED


def pod(found: KubeObject, *, now: float) -> Pod:
    """A pod; `now` is Unix time."""
    owners = found.at("metadata.ownerReferences", None) or ()
    keep = ("prometheus.io/", "labkit.dev/")
    return Pod(
        found.name,
        found.labels,
        {key: value for key, value in found.annotations.items() if key.startswith(keep)},
        any(owner.get("controller") for owner in owners),
        _ready_for(found, now),
        _trouble(found),
        next((f"{o.get('kind')}/{o.get('name')}" for o in owners if o.get("controller")), ""),
        found.at("status.phase", ""),
        tuple(_requesting(found)),
    )


def _requesting(found: KubeObject) -> Iterable[Container]:
    """The containers whose requests the HPA adds up, with sidecars; a pod-level request counts for each."""
    whole = found.at("spec.resources.requests", None) or {}
    sidecars = [c for c in found.at("spec.initContainers", None) or () if c.get("restartPolicy") == "Always"]
    for each in (*found.at("spec.containers", ()), *sidecars):
        one = _container(KubeObject(each))
        yield replace(one, requests=tuple(sorted({*one.requests, *whole})))


def _ready_for(found: KubeObject, now: float) -> float | None:
    condition = found.condition("Ready") or {}
    if condition.get("status") != "True":
        return None
    since = datetime.fromisoformat(condition["lastTransitionTime"]).astimezone(UTC)
    return max(0.0, now - since.timestamp())


def _trouble(found: KubeObject) -> str:
    scheduled = found.condition("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return str(scheduled.get("reason", ""))
    return stuck(found) or ("Failed" if found.at("status.phase") == "Failed" else "")


def service(found: KubeObject) -> Service:
    """A Service."""
    return Service(found.name, found.at("spec.selector", None) or {})


def autoscaler(found: KubeObject) -> Autoscaler:
    """An HPA."""
    ref, owners = found.at("spec.scaleTargetRef", {}), found.at("metadata.ownerReferences", None) or ()
    return Autoscaler(
        found.name,
        f"{ref.get('kind')}/{ref.get('name')}",
        tuple(_metric(KubeObject(m)) for m in found.at("spec.metrics", None) or ()),
        tuple(condition(c) for c in found.at("status.conditions", None) or ()),
        found.at("status.desiredReplicas", 0),
        next((str(o["name"]) for o in owners if o.get("kind") == "ScaledObject"), ""),
    )


def scaled_object(found: KubeObject) -> ScaledObject:
    """A ScaledObject, without what its triggers' objects and Prometheus say."""
    ref = found.at("spec.scaleTargetRef", {})
    return ScaledObject(
        found.name,
        f"{ref.get('kind') or 'Deployment'}/{ref.get('name')}",
        tuple(trigger(KubeObject(t)) for t in found.at("spec.triggers", None) or ()),
        tuple(condition(c) for c in found.at("status.conditions", None) or ()),
    )


def trigger(found: KubeObject) -> Trigger:
    """A trigger of a ScaledObject, with KEDA's defaults."""
    kind = str(found.at("authenticationRef.kind") or "TriggerAuthentication").lower()
    name = found.at("authenticationRef.name")
    return Trigger(
        str(found.at("type", "")),
        str(found.at("metadata.query", "")).strip(),
        str(found.at("metricType") or "AverageValue"),
        str(found.at("metadata.ignoreNullValues", "true")).lower() != "false",
        f"{kind}/{name}" if name else "",
    )


def _metric(found: KubeObject) -> Metric:
    kind = str(found["type"])
    part = KubeObject(found.at(kind[0].lower() + kind[1:], {}))
    target = part.at("target", {})
    about = part.at("describedObject", None) or {}
    return Metric(
        kind,
        part.at("metric.name") or part.at("name", ""),
        str(target.get("type", "")),
        f"{about['kind']}/{about['name']}" if about else "",
        part.at("container", ""),
        selectors.text(selectors.of(part.at("metric.selector", None) or {})),
        str(about.get("apiVersion", "")),
    )


def condition(raw: Mapping[str, Any]) -> Condition:
    """One of `status.conditions`."""
    return Condition(raw["type"], raw["status"], raw.get("reason") or "", raw.get("message") or "")


def api_service(found: KubeObject) -> ApiService:
    """An APIService, by its condition `Available`."""
    told = found.condition("Available") or {}
    available = told.get("status") == "True"
    behind = found.at("spec.service", None) or {}
    service = f"{behind.get('namespace')}/{behind.get('name')}" if behind else ""
    return ApiService(found.name, available, told.get("reason", ""), told.get("message", ""), service)


def target(raw: Mapping[str, Any], namespace: str) -> Target | None:
    """An active target of Prometheus; None if it isn't a pod of this namespace.

    It goes by what Prometheus discovered, not by the final labels, which relabelling can break.
    """
    found, labels = raw.get("discoveredLabels", {}), raw.get("labels", {})
    place = found.get("__meta_kubernetes_namespace") or labels.get("namespace")
    name = found.get("__meta_kubernetes_pod_name") or labels.get("pod")
    if place != namespace or not name:
        return None
    return Target(name, raw.get("scrapeUrl", ""), raw.get("health", ""), raw.get("lastError", ""))


def metric_names(page: str) -> tuple[str, ...]:
    """The names on a page in Prometheus' text format, each once, in order."""
    return tuple(dict.fromkeys(_SAMPLE.findall(page)))
