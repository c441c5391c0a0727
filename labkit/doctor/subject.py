"""What is diagnosed: which HPA, Deployment, pods and metric, and the metric's name at each hop.

Pure. If the HPA's target does not exist, the one that it most likely means is used, so that the other hops
can still be judged.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace

from labkit.doctor.facts import (
    Autoscaler,
    Metric,
    Observation,
    Page,
    Pod,
    ScaledObject,
    Trigger,
    Workload,
)
from localcluster.api import selectors

QUEUE = "vllm_request_queue_size"

SOURCES = {
    QUEUE: "vllm:num_requests_waiting",
    "vllm_requests_running": "vllm:num_requests_running",
    "vllm_kv_cache_usage": "vllm:kv_cache_usage_perc",
}
"""Metric as the custom metrics API serves it → as vLLM exports it. The adapter's rules say the same."""

RESOURCE = frozenset({"Resource", "ContainerResource"})
GROUPS = {"External": "external.metrics.k8s.io", **dict.fromkeys(RESOURCE, "metrics.k8s.io")}
CUSTOM = "custom.metrics.k8s.io"
RESOURCES = ("cpu", "memory")
"""What metrics.k8s.io knows; other resources of a node, such as GPUs, have no usage there."""
KINDS = ("Deployment", "StatefulSet")
"""The kinds of target whose pods the doctor knows how to find."""

SETTLING = 75.0
"""Lab seconds until all hops know a ready pod: the adapter's relist, two scrapes, a sync."""
REACTION = 3.0
"""Real seconds on top of that: programs start and communicate in real time, whatever the clock says."""


def autoscaler(seen: Observation) -> Autoscaler | None:
    """The HPA that was asked about, else one whose target exists, else any."""
    named = [h for h in seen.autoscalers if seen.asked in {"", h.name}]
    known = {f"{w.kind}/{w.name}" for w in seen.workloads}
    return next((h for h in named if h.target in known), named[0] if named else None)


def workload(seen: Observation) -> Workload | None:
    """The HPA's target; if that does not exist, the one with the closest name, or the first.

    None for a target of a kind whose pods the doctor can't find.
    """
    hpa = autoscaler(seen)
    kind, _, wanted = hpa.target.partition("/") if hpa else ("", "", "")
    meant = difflib.get_close_matches(kind, KINDS, n=1, cutoff=0.8)
    if kind and not meant:
        return None
    by_name = {w.name: w for w in seen.workloads}
    of_kind = {w.name: w for w in seen.workloads if w.kind in meant}
    if wanted in of_kind:
        return of_kind[wanted]
    if wanted in by_name:
        return by_name[wanted]
    close = difflib.get_close_matches(wanted, by_name, n=1)
    return by_name[close[0]] if close else next(iter(seen.workloads), None)


def pods(seen: Observation) -> tuple[Pod, ...]:
    """The workload's own pods: its selector matches them, and it (or its ReplicaSet) owns them."""
    found = workload(seen)
    return tuple(pod for pod in seen.pods if found and belongs(pod, found) and pod.phase != "Succeeded")


def belongs(pod: Pod, found: Workload) -> bool:
    """Whether a pod is a Deployment's own; if its owner is not known, any controller counts."""
    of_deployment = f"ReplicaSet/{found.name}-{pod.labels.get('pod-template-hash', '')}"
    known = of_deployment if found.kind == "Deployment" else f"{found.kind}/{found.name}"
    return pod.owned and selects(found, pod) and pod.owner in {"", known}


def strangers(seen: Observation) -> tuple[Pod, ...]:
    """Pods that match the workload's selector but are not its own: the HPA counts them nevertheless."""
    found = workload(seen)
    if found is None:
        return ()
    released = [p for p in seen.pods if not p.owned and "pod-template-hash" in p.labels]  # formerly its own
    return tuple(p for p in seen.pods if selects(found, p) and not belongs(p, found) and p not in released)


def selects(found: Workload, pod: Pod) -> bool:
    """Whether a Deployment's selector matches a pod."""
    if found.selects:
        return selectors.matches(selectors.parse(found.selects), pod.labels)
    return matches(found.selector, pod)


def ready(seen: Observation) -> tuple[Pod, ...]:
    """The ready ones among them."""
    return tuple(pod for pod in pods(seen) if pod.ready)


def settled(seen: Observation) -> tuple[Pod, ...]:
    """Those that have been ready long enough for every hop to know them."""
    patience = SETTLING / seen.clock + REACTION
    return tuple(pod for pod in ready(seen) if (pod.ready_for or 0.0) > patience)


def starting(seen: Observation, pod: Pod) -> bool:
    """Whether a pod might be ready too early: it is new, and no probe says that its server answers."""
    probed = any(c.readiness for c in pod.containers) or not pod.containers
    return not probed and pod not in settled(seen)


def metric(seen: Observation) -> Metric:
    """The HPA's metric that is looked at; the lesson's metric if there is no HPA or it names none."""
    hpa = autoscaler(seen)
    return hpa.metrics[seen.index] if hpa and hpa.metrics else Metric("Pods", QUEUE, "AverageValue")


def each(seen: Observation) -> Iterator[Observation]:
    """One view for each metric of the HPA: the same observation with that metric's API and series."""
    yield seen
    for index, one in enumerate(seen.more, start=1):
        prometheus = replace(seen.prometheus, series=one.series)
        yield replace(seen, api=one.api, prometheus=prometheus, index=index)


def group(kind: str) -> str:
    """The API group that serves metrics of a type."""
    return GROUPS.get(kind, CUSTOM)


def served_name(seen: Observation) -> str:
    """The metric that the adapter must serve: the HPA's, or the one that a misspelt name means."""
    wanted = metric(seen).name
    known = {name.partition("/")[2] for name in seen.api.names}
    if group(metric(seen).type) != CUSTOM or wanted in SOURCES or wanted in known:
        return wanted
    meant = {made.replace(":", "_"): name for name, made in SOURCES.items()} | {
        n: n for n in (*known, *SOURCES)
    }
    close = difflib.get_close_matches(wanted, meant, n=1, cutoff=0.65)
    return meant[close[0]] if close else wanted


def scaled(seen: Observation) -> ScaledObject | None:
    """KEDA's ScaledObject on the path: the one that owns the HPA or, while there is no HPA, any."""
    hpa = autoscaler(seen)
    if hpa:
        return next((one for one in seen.scaled if one.name == hpa.scaled), None)
    return next(iter(seen.scaled), None)


def trigger(seen: Observation) -> Trigger | None:
    """The ScaledObject's trigger behind the metric that is looked at."""
    found = scaled(seen)
    return found.triggers[seen.index] if found and seen.index < len(found.triggers) else None


def source(seen: Observation) -> str:
    """The model server's name for it; empty if labkit does not know."""
    if asked := trigger(seen):
        return next((name for name in SOURCES.values() if name in asked.query), "")
    return SOURCES.get(served_name(seen), "")


def page(seen: Observation, pod: Pod) -> Page | None:
    """A pod's page of metrics."""
    return next((p for p in seen.pages if p.pod == pod.name), None)


def matches(selector: object, pod: Pod) -> bool:
    """Whether a pod carries all labels of a selector."""
    return isinstance(selector, dict) and bool(selector) and selector.items() <= dict(pod.labels).items()
