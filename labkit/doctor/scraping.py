"""From a pod's page of metrics into Prometheus: the page, the scrape, and the labels of the series.

Pure judgements, of ready pods only: a pod that is still starting has no page yet.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from labkit.doctor import subject
from labkit.doctor.facts import Observation, Pod, Target
from labkit.doctor.finding import BROKEN, OK, Finding, broken, ok, skipped, unknown

SCRAPE, PORT, PATH = "prometheus.io/scrape", "prometheus.io/port", "prometheus.io/path"
NEEDED = ("namespace", "pod")
_KUBELET = "CPU and memory come from the kubelet, not from the pod's page"
_ELSEWHERE = "an external metric does not come from the pods"


def page(seen: Observation) -> Finding:
    """Each ready pod has the metric on its /metrics page."""
    if elsewhere := _elsewhere(seen):
        return elsewhere
    if early := _early(seen):
        return early
    wanted, pods = subject.source(seen), subject.ready(seen)
    for pod in pods:
        found = subject.page(seen, pod)
        if found is None or found.error:
            if subject.starting(seen, pod):
                return unknown(f"pod/{pod.name} is ready without a readiness probe, and does not answer yet")
            return broken(
                "no-page",
                f"pod/{pod.name} serves no metrics: {found.error if found else 'it was not queried'}",
                cause="The server does not serve HTTP on this port and path, or it hangs.",
                fix=f"kubectl logs {pod.name}; correct the containerPort or the annotation {PATH}.",
            )
        if wanted and wanted not in found.names:
            return _not_exported(pod, wanted, found.names)
    return ok(f"{len(pods)} of {len(pods)} pods export {wanted or 'metrics'}")


def _elsewhere(seen: Observation) -> Finding | None:
    """For a metric that is not made of what the pods export, as far as is known."""
    metric = subject.metric(seen)
    if metric.type in subject.RESOURCE:
        return skipped(_KUBELET)
    if metric.type == "External" and not subject.source(seen):
        return skipped(_ELSEWHERE)
    if metric.type == "Object" and not subject.source(seen):
        return skipped(f"labkit does not know what {metric} is made of")
    return None


def _not_exported(pod: Pod, wanted: str, names: Sequence[str]) -> Finding:
    close = difflib.get_close_matches(wanted, names, n=1)
    return broken(
        "not-exported",
        f"pod/{pod.name} exports {len(names)} metrics, and {wanted} is not one of them",
        cause=f"It exports {close[0]} instead." if close else "It is another server, or another version.",
        fix="Run the image of the model server that exports it; list its metrics: kubectl get --raw "
        f"…/pods/{pod.name}:8000/proxy/metrics",
    )


def scrape(seen: Observation) -> Finding:
    """Prometheus answers, and scrapes each ready pod successfully."""
    if elsewhere := _elsewhere(seen):
        return elsewhere
    if not seen.prometheus.url:
        return unknown(seen.prometheus.error or "the address of Prometheus is not known")
    if seen.prometheus.error:
        return broken(
            "prometheus-down",
            f"Prometheus at {seen.prometheus.url} does not answer: {seen.prometheus.error}",
            cause="It is not running, or refuses this client.",
            fix="labkit status and labkit logs prometheus; on other clusters kubectl get pods -n monitoring.",
        )
    if early := _early(seen):
        return early
    judged = [_target(seen, pod) for pod in subject.ready(seen)]
    wrong = [finding for finding in judged if finding.state == BROKEN]
    up = sum(finding.state == OK for finding in judged)
    if wrong or not up:
        return (wrong or judged)[0]
    return ok(f"{up} of {len(judged)} targets are up" + ("" if up == len(judged) else ", the others are new"))


def _target(seen: Observation, pod: Pod) -> Finding:
    found = next((t for t in seen.prometheus.targets if t.pod == pod.name), None)
    if found is None:
        return _no_target(seen, pod) if pod in subject.settled(seen) else unknown(f"pod/{pod.name} is new")
    if found.health == "down":
        return _down(seen, pod, found)
    return ok(found.url) if found.health == "up" else unknown(f"pod/{pod.name} is not scraped yet")


def _no_target(seen: Observation, pod: Pod) -> Finding:
    told = f"Prometheus has no target for pod/{pod.name}"
    if pod.annotations.get(SCRAPE) != "true":
        said = pod.annotations.get(SCRAPE)
        return broken(
            "no-scrape-annotation",
            f"{told}, whose annotation {SCRAPE} " + (f"says {said!r}" if said else "is missing"),
            cause="Prometheus only scrapes pods with this annotation.",
            fix=f'Put {SCRAPE}: "true" into the pod template, under metadata.annotations.',
        )
    return _wrong_port(seen, pod, told) or broken(
        "no-target",
        told,
        cause="Its scrape configuration drops the pod, or it is not allowed to list pods in this namespace.",
        fix="Look at /service-discovery of Prometheus: dropped targets are listed with their labels.",
    )


def _down(seen: Observation, pod: Pod, found: Target) -> Finding:
    told = f"the target {found.url} of pod/{pod.name} is down: {found.error}"
    if wrong := _wrong_port(seen, pod, told):
        return wrong
    if pod not in subject.settled(seen):
        return unknown(f"{told}; it has only just become ready, maybe after its last scrape")
    return broken(
        "target-down",
        told,
        cause=f"The annotation {PATH} or {PORT} is wrong, or a NetworkPolicy is in the way.",
        fix="Request the same address yourself, and correct the annotation.",
    )


def _wrong_port(seen: Observation, pod: Pod, told: str) -> Finding | None:
    workload, said = subject.workload(seen), pod.annotations.get(PORT)
    ports = [str(port) for c in (workload.containers if workload else ()) for port in c.ports]
    if said is None or not ports or said in ports:
        return None
    return broken(
        "wrong-port",
        f"{told}; its annotation {PORT} says {said}, its containers listen on {', '.join(ports)}",
        cause="The annotation names a port on which nothing listens.",
        fix=f'Write {PORT}: "{ports[0]}".',
    )


def series(seen: Observation) -> Finding:
    """Prometheus has one series for each ready pod, and its labels identify the pod."""
    wanted = subject.source(seen)
    if elsewhere := _elsewhere(seen):
        return elsewhere
    if not wanted:
        return skipped("labkit does not know this metric's series")
    if not seen.prometheus.url or seen.prometheus.error:
        return unknown("Prometheus can't be queried")
    return _early(seen) or _labels(seen, wanted) or _one_for_each(seen, wanted)


def _labels(seen: Observation, wanted: str) -> Finding | None:
    bare = [s for s in seen.prometheus.series if not all(s.get(label) for label in NEEDED)]
    return _unlabelled(wanted, bare[0]) if bare else None


def _one_for_each(seen: Observation, wanted: str) -> Finding:
    mine = {s["pod"] for s in seen.prometheus.series if s["namespace"] == seen.namespace}
    lacking = [pod for pod in subject.settled(seen) if pod.name not in mine]
    if not lacking:
        found = [pod for pod in subject.ready(seen) if pod.name in mine]
        told = f"{len(found)} series of {wanted}, with namespace and pod"
        return ok(told) if found else unknown(f"the pods are new: no series of {wanted} yet")
    return broken(
        "no-series",
        f"Prometheus has no series {wanted} for pod/{lacking[0].name}",
        cause="It was not scraped, or metric_relabel_configs drops the series.",
        fix=f"Ask Prometheus for {wanted} without any labels.",
    )


def _unlabelled(wanted: str, labels: object) -> Finding:
    assert isinstance(labels, dict)
    lacking = [label for label in NEEDED if not labels.get(label)]
    shown = ", ".join(f'{k}="{v}"' for k, v in sorted(labels.items()) if k != "__name__")
    return broken(
        "no-labels",
        f"a series of {wanted} has no label {' and no label '.join(lacking)}: {{{shown}}}",
        cause="The server does not know its own pod; Prometheus must add the label, and does not.",
        fix="relabel_configs must copy __meta_kubernetes_namespace to namespace and "
        "__meta_kubernetes_pod_name to pod.",
    )


def _early(seen: Observation) -> Finding | None:
    return None if subject.ready(seen) else unknown("no pod is ready")
