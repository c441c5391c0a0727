"""Whose path it is: which HPA, which Deployment, which pods, which metric, and what it is called where.

Pure. Where the HPA points at nothing, the Deployment that it most likely means stands in, so that the other
hops can be looked at all the same.
"""

from __future__ import annotations

import difflib

from labkit.doctor.facts import Autoscaler, Metric, Observation, Page, Pod, Workload

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
"""Lab seconds in which a ready pod may be unknown further on: the adapter's relist, two scrapes, a sync."""
REACTION = 3.0
"""Real seconds on top of that: programs start and talk, whatever the clock says."""


def autoscaler(seen: Observation) -> Autoscaler | None:
    """The HPA that was asked about, else the one for a Deployment that exists, else any."""
    named = [h for h in seen.autoscalers if seen.asked in {"", h.name}]
    known = {f"Deployment/{w.name}" for w in seen.workloads}
    return next((h for h in named if h.target in known), named[0] if named else None)


def workload(seen: Observation) -> Workload | None:
    """The HPA's target; where that does not exist, the Deployment whose name is closest, or the only one."""
    hpa = autoscaler(seen)
    by_name = {w.name: w for w in seen.workloads}
    wanted = hpa.target.partition("/")[2] if hpa else ""
    if wanted in by_name:
        return by_name[wanted]
    close = difflib.get_close_matches(wanted, by_name, n=1)
    return by_name[close[0]] if close else next(iter(seen.workloads), None)


def pods(seen: Observation) -> tuple[Pod, ...]:
    """The pods that the workload's selector finds and a controller looks after."""
    found = workload(seen)
    return tuple(p for p in seen.pods if found and p.owned and matches(found.selector, p)) if found else ()


def ready(seen: Observation) -> tuple[Pod, ...]:
    """Those of them that are ready."""
    return tuple(pod for pod in pods(seen) if pod.ready)


def settled(seen: Observation) -> tuple[Pod, ...]:
    """Those that have been ready for so long that everybody on the path should know them."""
    patience = SETTLING / seen.clock + REACTION
    return tuple(pod for pod in ready(seen) if (pod.ready_for or 0.0) > patience)


def metric(seen: Observation) -> Metric:
    """What the HPA scales on; the lesson's metric where there is no HPA or it names none."""
    hpa = autoscaler(seen)
    return hpa.metrics[0] if hpa and hpa.metrics else Metric("Pods", QUEUE, "AverageValue")


def group(kind: str) -> str:
    """The API group that answers for metrics of a type."""
    return GROUPS.get(kind, CUSTOM)


def served_name(seen: Observation) -> str:
    """What the adapter must serve: the HPA's metric, unless nobody makes one of that name."""
    wanted = metric(seen).name
    known = {name.partition("/")[2] for name in seen.api.names}
    return wanted if wanted in SOURCES or wanted in known else QUEUE


def source(seen: Observation) -> str:
    """What the model server calls it; empty where labkit does not know."""
    return SOURCES.get(served_name(seen), "")


def page(seen: Observation, pod: Pod) -> Page | None:
    """A pod's page of metrics."""
    return next((p for p in seen.pages if p.pod == pod.name), None)


def matches(selector: object, pod: Pod) -> bool:
    """Whether a pod carries all labels of a selector."""
    return isinstance(selector, dict) and bool(selector) and selector.items() <= dict(pod.labels).items()
