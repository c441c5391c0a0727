"""What is diagnosed: which HPA, Deployment, pods and metric, and the metric's name at each hop.

Pure. If the HPA's target does not exist, the Deployment that it most likely means is used, so that the other
hops can still be judged.
"""

from __future__ import annotations

import difflib

from labkit.doctor.facts import Autoscaler, Metric, Observation, Page, Pod, Workload
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

SETTLING = 75.0
"""Lab seconds until all hops know a ready pod: the adapter's relist, two scrapes, a sync."""
REACTION = 3.0
"""Real seconds on top of that: programs start and communicate in real time, whatever the clock says."""


def autoscaler(seen: Observation) -> Autoscaler | None:
    """The HPA that was asked about, else one whose Deployment exists, else any."""
    named = [h for h in seen.autoscalers if seen.asked in {"", h.name}]
    known = {f"Deployment/{w.name}" for w in seen.workloads}
    return next((h for h in named if h.target in known), named[0] if named else None)


def workload(seen: Observation) -> Workload | None:
    """The HPA's target; if that does not exist, the Deployment with the closest name, or the only one."""
    hpa = autoscaler(seen)
    by_name = {w.name: w for w in seen.workloads}
    wanted = hpa.target.partition("/")[2] if hpa else ""
    if wanted in by_name:
        return by_name[wanted]
    close = difflib.get_close_matches(wanted, by_name, n=1)
    return by_name[close[0]] if close else next(iter(seen.workloads), None)


def pods(seen: Observation) -> tuple[Pod, ...]:
    """The workload's own pods: its selector matches them, and its ReplicaSet owns them."""
    found = workload(seen)
    return tuple(pod for pod in seen.pods if found and belongs(pod, found) and pod.phase != "Succeeded")


def belongs(pod: Pod, found: Workload) -> bool:
    """Whether a pod is a Deployment's own; if its owner is not known, any controller counts."""
    known = f"ReplicaSet/{found.name}-{pod.labels.get('pod-template-hash', '')}"
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
    """The metric that the HPA scales on; the lesson's metric if there is no HPA or it names none."""
    hpa = autoscaler(seen)
    return hpa.metrics[0] if hpa and hpa.metrics else Metric("Pods", QUEUE, "AverageValue")


def group(kind: str) -> str:
    """The API group that serves metrics of a type."""
    return GROUPS.get(kind, CUSTOM)


def served_name(seen: Observation) -> str:
    """The metric that the adapter must serve: the HPA's, unless nothing produces one of that name."""
    wanted = metric(seen).name
    if group(metric(seen).type) != CUSTOM:
        return wanted
    known = {name.partition("/")[2] for name in seen.api.names}
    return wanted if wanted in SOURCES or wanted in known else QUEUE


def source(seen: Observation) -> str:
    """The model server's name for it; empty if labkit does not know."""
    return SOURCES.get(served_name(seen), "")


def page(seen: Observation, pod: Pod) -> Page | None:
    """A pod's page of metrics."""
    return next((p for p in seen.pages if p.pod == pod.name), None)


def matches(selector: object, pod: Pod) -> bool:
    """Whether a pod carries all labels of a selector."""
    return isinstance(selector, dict) and bool(selector) and selector.items() <= dict(pod.labels).items()
