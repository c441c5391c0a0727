"""The path of one number from a pod to the Deployment's size, hop by hop."""

from __future__ import annotations

from labkit.doctor import deciding, finding, gateway, keda, scraping, serving, subject, workload
from labkit.doctor.facts import Observation
from labkit.doctor.finding import Diagnosis, Hop

HOPS: tuple[Hop, ...] = (
    Hop("pods", "the target's pods run, are ready, and declare their requests", workload.pods),
    Hop("metrics page", "each pod exports the metric at /metrics", scraping.page),
    Hop("scrape", "Prometheus answers, and each pod is a target that is up", scraping.scrape),
    Hop("series", "one series for each pod, with the labels namespace and pod", scraping.series),
    Hop("adapter", "a rule turns the series into a pod metric", serving.adapter),
    Hop("metrics API", "the APIService is Available and has a value for each pod", serving.api),
    Hop("HPA", "it reads its metric (ScalingActive) and is the only HPA", deciding.hpa),
    Hop("scale target", "the target exists, and only the HPA sets its replicas", workload.target),
)

KEDA: tuple[Hop, ...] = (
    Hop("ScaledObject", "KEDA accepts it: its target exists, its triggers can log in", keda.scaled_object),
    Hop("query", "it has one value, which is divided by the pods once", keda.query),
)
"""In place of the adapter, where KEDA made the HPA."""

KEDA_HOPS = tuple(new for hop in HOPS for new in (KEDA if hop.name == "adapter" else (hop,)))

GATEWAY = Hop(
    "gateway", "the pool is the servers, the valve is open, and nobody is turned away", gateway.gateway
)
"""In front of the others, where there is one: requests come through it."""


def diagnose(seen: Observation) -> Diagnosis:
    """Find the first broken hop; each hop is judged for each metric of the HPA."""
    hops = KEDA_HOPS if subject.scaled(seen) else HOPS
    if seen.gateway is not None:
        hops = (GATEWAY, *hops)
    views = [(str(subject.metric(view)), view) for view in subject.each(seen)]
    found = [finding.merged([(name, hop.judge(view)) for name, view in views]) for hop in hops]
    return finding.diagnose(seen.namespace, hops, found)
