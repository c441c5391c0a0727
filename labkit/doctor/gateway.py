"""The inference gateway in front of the pods: whom it knows, whom it lets through, and whom it turns away.

Looks at the InferencePool, at what the endpoint picker exports, and at what KEDA asks. Without an
InferencePool there is no such hop. The picker's own configuration can't be read: its figures tell.
https://gateway-api-inference-extension.sigs.k8s.io
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from labkit.doctor import subject
from labkit.doctor.facts import Gateway, Observation, Pool, Workload
from labkit.doctor.finding import Finding, broken, ok, unknown
from labkit.errors import ClusterError, LabError
from labkit.kube.client import Kube
from labkit.metrics.client import Metrics
from localcluster.api.objects import KubeObject

POOLS = "/apis/inference.networking.k8s.io/v1/namespaces/{}/inferencepools"
SCALED = "/apis/keda.sh/v1alpha1/namespaces/{}/scaledobjects"
LATELY = 600.0
"""Lab seconds in which a request that was turned away still counts."""
FLOW = "inference_extension_flow_control_"
QUEUE = f"{FLOW}queue_size"
WAITED = f"{FLOW}request_queue_duration_seconds_count"
FULL = 1.0
"""The saturation from which on the picker holds every request: a mean over the pool."""


def look(kube: Kube, prometheus: Callable[[], Metrics]) -> Gateway | None:
    """The namespace's gateway at this moment; None where there is none."""
    try:
        found = kube.api.find(POOLS.format(kube.namespace))
        scaled = kube.api.find(SCALED.format(kube.namespace)) if found else None
    except ClusterError:  # the course's rights on another's cluster need not include it
        return None
    pools = tuple(_pool(KubeObject(one)) for one in (found or {}).get("items", ()))
    if not pools:
        return None
    queries = tuple(
        str(trigger.get("metadata", {}).get("query", ""))
        for one in (scaled or {}).get("items", ())
        for trigger in one["spec"].get("triggers", ())
    )
    try:
        return _with_figures(Gateway(pools, queries), prometheus(), kube.namespace)
    except LabError as error:
        return Gateway(pools, queries, error=error.what)


def _pool(found: KubeObject) -> Pool:
    ports = tuple(port["number"] for port in found.at("spec.targetPorts", ()))
    return Pool(found.name, found.at("spec.selector.matchLabels", {}), ports)


def _with_figures(found: Gateway, metrics: Metrics, namespace: str) -> Gateway:
    pool = found.pools[0].name
    lately = f"[{max(1, round(LATELY / metrics.clock))}s]"
    away = f'{WAITED}{{outcome!="Dispatched"}} and increase({WAITED}{lately}) > 0'
    queues = f'{subject.SOURCES[subject.QUEUE]}{{namespace="{namespace}"}}'

    def value(promql: str) -> float | None:
        return next((row.value for row in metrics.query(promql, may_be_empty=True)), None)

    return replace(
        found,
        ready=value(f'inference_pool_ready_pods{{name="{pool}"}}'),
        held=value(f'sum({QUEUE}{{inference_pool="{pool}"}})') or 0.0,
        saturation=value(f'max({FLOW}pool_saturation{{inference_pool="{pool}"}})'),
        away=metrics.query(f"sum({away}) by (outcome)", may_be_empty=True).by("outcome"),
        waiting=metrics.query(queues, may_be_empty=True).by("pod"),
    )


def gateway(seen: Observation) -> Finding:
    """The pool is the servers, the picker answers, its valve is open, and nobody is turned away."""
    found = seen.gateway
    if found is None:
        return unknown("there is no gateway")
    return (
        _selects_nothing(seen, found.pools[0])
        or _wrong_port(seen, found.pools[0])
        or _no_picker(found)
        or _asleep(seen, found)
        or _stale(found)
        or _shut(found)
        or _turned_away(found)
        or ok(
            f"{found.ready or 0:g} servers in inferencepool/{found.pools[0].name}, {found.held:g} held"
            + ("" if found.saturation is None else f", saturation {found.saturation:.2f}")
        )
    )


def _selects_nothing(seen: Observation, pool: Pool) -> Finding | None:
    if any(subject.matches(pool.selector, pod) for pod in seen.pods):
        return None
    if any(_makes(one, pool) for one in seen.workloads):  # scaled to none, or about to start
        return None
    there = sorted({_text(w.selector) for w in seen.workloads}) or ["none"]
    return broken(
        "pool-selector",
        f"inferencepool/{pool.name} selects {_text(pool.selector)}, and no pod has that",
        cause="Its selector is misspelt, or the pods were relabelled: the picker knows no server, and holds "
        "every request until its time is over.",
        fix=f"Correct spec.selector.matchLabels. The pods there are made with: {'; '.join(there)}.",
    )


def _wrong_port(seen: Observation, pool: Pool) -> Finding | None:
    mine = [pod for pod in seen.pods if subject.matches(pool.selector, pod)]
    open_ports = sorted({port for pod in mine for one in pod.containers for port in one.ports})
    if not open_ports or set(pool.ports) <= set(open_ports):
        return None
    named = _numbers(pool.ports)
    return broken(
        "pool-port",
        f"inferencepool/{pool.name} has the port {named}, its pods listen on {_numbers(open_ports)}",
        cause="The picker reads metrics there, and sends requests there: every server counts as full.",
        fix=f"Set spec.targetPorts to {open_ports[0]}.",
    )


def _no_picker(found: Gateway) -> Finding | None:
    if found.error:
        return unknown(found.error)
    if found.ready is None:
        return broken(
            "no-picker",
            "Prometheus has no figures of the endpoint picker",
            cause="It does not run, or was not scraped yet. Envoy then answers 500: it fails closed.",
            fix="labkit status: do epp and envoy run? labkit logs epp says why not.",
        )
    return None


def _asleep(seen: Observation, found: Gateway) -> Finding | None:
    replicas = [one.replicas for one in seen.workloads if _makes(one, found.pools[0])]
    if not found.held or any(replicas) or not found.queries or any(QUEUE in query for query in found.queries):
        return None
    return broken(
        "asleep",
        f"{found.held:g} requests are held, there are no pods, and no trigger asks for {QUEUE}",
        cause="What wakes the pods is counted in the pods: without any, nothing counts these requests.",
        fix=f"Add (sum({QUEUE}) or vector(0)) to the query of the ScaledObject.",
    )


def _stale(found: Gateway) -> Finding | None:
    if not found.held or not found.ready or (found.saturation or 0.0) < FULL or any(found.waiting.values()):
        return None
    return broken(
        "stale",
        f"{found.held:g} requests are held, saturation {found.saturation:.2f}, and no server has a queue",
        cause="The picker takes every server for full, because what it knows is too old: "
        "metricsStalenessThreshold is below its refresh interval, or it can't read their metrics.",
        fix="Set metricsStalenessThreshold to several times --refresh-metrics-interval.",
    )


def _shut(found: Gateway) -> Finding | None:
    idle = [pod for pod, waits in found.waiting.items() if not waits]
    longest = max(found.waiting.values(), default=0.0)
    if not found.held or (found.saturation or 0.0) < FULL or not idle or longest < 2:
        return None
    return broken(
        "shut-for-idle-servers",
        f"{found.held:g} requests are held; nobody waits in {len(idle)} of {len(found.waiting)} servers, and "
        f"{longest:g} in another",
        cause="The valve looks at the mean of queue / threshold over all servers: one long queue is enough "
        f"to shut it for all: saturation is {found.saturation:.2f}.",
        fix="Raise queueDepthThreshold: too small a threshold costs more than too large a one.",
    )


ANSWERS: Mapping[str, tuple[str, str, str, str]] = {
    "EvictedTTL": (
        "evicted",
        "503",
        "They were held longer than defaultRequestTTL: in that time no server was free, or none had started.",
        "Set defaultRequestTTL to more than a cold start; or have servers sooner.",
    ),
    "RejectedCapacity": (
        "rejected",
        "429",
        "More requests came than the gateway may hold: maxRequests (or maxBytes) of its flowControl.",
        "Raise maxRequests; or leave it, if such users are to come back later.",
    ),
}
"""Outcome → a short name, the status that users see, cause and fix."""


def _turned_away(found: Gateway) -> Finding | None:
    for outcome, (name, status, cause, fix) in ANSWERS.items():
        if count := found.away.get(outcome):
            seen = f"{count:g} requests were answered {status} since the picker started (outcome {outcome})"
            return broken(name, seen, cause=cause, fix=fix)
    return None


def _numbers(ports: Sequence[int]) -> str:
    return ", ".join(map(str, ports))


def _makes(one: Workload, pool: Pool) -> bool:
    """Whether a workload's pods are in the pool."""
    return pool.selector.items() <= dict(one.selector).items()


def _text(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())
