"""From Prometheus to the HPA: the adapter's names, the metrics API, and what the HPA makes of them.

Pure judgements. The adapter is asked through the API server; if that can't reach it, nothing is known about
the adapter, and it gets no blame.
"""

from __future__ import annotations

import difflib

from labkit.doctor import subject
from labkit.doctor.facts import Autoscaler, Observation
from labkit.doctor.finding import Finding, broken, ok, skipped, unknown

AMBIGUOUS = "AmbiguousSelector"
INSTALL = {
    subject.CUSTOM: "Install prometheus-adapter, or scale with KEDA instead.",
    "metrics.k8s.io": "Install metrics-server.",
    "external.metrics.k8s.io": "Install KEDA.",
}


def adapter(seen: Observation) -> Finding:
    """The adapter has a rule that turns the series into the metric."""
    kind = subject.metric(seen).type
    if subject.group(kind) != subject.CUSTOM:
        return skipped(f"a metric of type {kind} needs no rule of the adapter")
    if not _served(seen):
        return unknown("the API server does not reach it")
    name = subject.served_name(seen)
    if f"pods/{name}" in seen.api.names:
        return ok(f"it serves pods/{name}")
    if not subject.settled(seen):
        return unknown(f"it does not list {name} yet; it looks for new series every 30 s")
    return broken(
        "no-rule",
        f"the adapter serves {len(seen.api.names)} metrics, and pods/{name} is not one of them",
        cause=f"No rule of its configuration makes {name} out of {subject.source(seen) or 'a series'}: "
        "seriesQuery, the label overrides or `name.as` are wrong.",
        fix="Compare its rules with cluster/localcluster/data/adapter-rules.yaml, and restart it: "
        "it reads them only at startup.",
    )


def api(seen: Observation) -> Finding:
    """The API server forwards requests to the service with the metrics, and each pod has a value."""
    group, services = seen.api.group, seen.api.services
    if services and not any(s.available for s in services):  # any one version is enough for the HPA
        return broken(
            "api-unavailable",
            f"apiservice/{services[0].name} is not Available ({services[0].reason}): {services[0].message}",
            cause="The Service behind it is misspelt, gone or has a wrong port, or the adapter is down.",
            fix="kubectl get apiservices -o wide, and compare spec.service with kubectl get services -A; "
            "then see whether the adapter runs.",
        )
    if not _served(seen):
        refused = seen.api.services_error or seen.api.names_error
        if refused:
            return unknown(f"reading it is not allowed: {refused}")
        return broken(
            "no-api",
            f"nothing serves {group} in this cluster",
            cause="No APIService of that group exists.",
            fix=INSTALL[group],
        )
    return _values(seen)


def _served(seen: Observation) -> bool:
    """Whether the adapter can be asked through the API server."""
    known = seen.api.services or seen.api.names
    down = bool(seen.api.services) and not any(s.available for s in seen.api.services)
    return bool(known) and not seen.api.names_error and not down


def _values(seen: Observation) -> Finding:
    names = ", ".join(s.name for s in seen.api.services if s.available) or seen.api.group
    if not seen.api.values and not subject.settled(seen):
        return unknown(f"{names} Available; no value yet: no pod has been ready long enough")
    if seen.api.values_error:
        return broken(
            "no-values",
            f"{names} is there and answers: {seen.api.values_error}",
            cause="The adapter behind it can't get the values: its own source does not answer.",
            fix="Read the adapter's log: labkit logs prometheus-adapter, or kubectl logs -n monitoring.",
        )
    lacking = [p.name for p in subject.settled(seen) if p.name not in seen.api.values]
    if lacking and subject.metric(seen).type != "External":
        return broken(
            "no-values",
            f"{names} has no value for pod/{lacking[0]}",
            cause="Its series is missing, or its labels name another pod or namespace.",
            fix="Look at the hops before this one.",
        )
    told = ", ".join(f"{value}" for value in seen.api.values.values()) or "no value yet"
    return ok(f"{names} Available; {subject.served_name(seen)}: {told}")


def hpa(seen: Observation) -> Finding:
    """The HPA asks for an existing metric, can settle, and is the only one for its target."""
    found = subject.autoscaler(seen)
    if found is None:
        return _no_hpa(seen)
    return (
        _rivals(seen, found)
        or _wrong_name(seen, found)
        or _value_of_a_sum(found)
        or _stopped(seen, found)
        or _active(found)
    )


def _no_hpa(seen: Observation) -> Finding:
    if subject.workload(seen) is None:
        return unknown("nothing is deployed")
    named = f"hpa/{seen.asked}" if seen.asked else "an HPA"
    return broken(
        "no-hpa",
        f"there is no {named.removeprefix('an ')} in namespace {seen.namespace}",
        cause="It was never applied, or was deleted.",
        fix="kubectl apply -f manifests/base/hpa.yaml",
    )


def _rivals(seen: Observation, found: Autoscaler) -> Finding | None:
    rivals = [h.name for h in seen.autoscalers if h.target == found.target and h.name != found.name]
    if not rivals:
        return None
    return broken(
        "second-hpa",
        f"hpa/{found.name} and hpa/{', hpa/'.join(rivals)} all scale {found.target}",
        cause="Their pods belong to several HPAs: each reports AmbiguousSelector, and none scales.",
        fix="Keep one of them: kubectl delete hpa NAME. One HPA may hold several metrics.",
    )


def _wrong_name(seen: Observation, found: Autoscaler) -> Finding | None:
    wanted = subject.metric(seen)
    if subject.group(wanted.type) != subject.CUSTOM or wanted.name in subject.SOURCES or not seen.api.names:
        return None
    known = sorted({name.partition("/")[2] for name in seen.api.names})
    if wanted.name in known:
        return None
    close = difflib.get_close_matches(wanted.name, known, n=1)
    return broken(
        "unknown-metric",
        f"hpa/{found.name} asks for {wanted.name}, but the custom metrics API serves no metric of that name",
        cause=f"Did you mean {close[0]}?" if close else "The name in Prometheus is not the name in the API.",
        fix="Write a name that kubectl get --raw /apis/custom.metrics.k8s.io/v1beta2 lists.",
    )


def _value_of_a_sum(found: Autoscaler) -> Finding | None:
    for metric in found.metrics:
        if metric.type == "Object" and metric.target == "Value" and metric.name in subject.SOURCES:
            return broken(
                "value-of-a-sum",
                f"hpa/{found.name} holds {metric.name} of {metric.about}, a sum over pods, against a `Value`",
                cause="`Value` multiplies the ready pods by sum / target: with the same queue, the more pods "
                "there are, the more it asks for.",
                fix="Use a metric of type Pods with AverageValue: the sum is then divided by the pods.",
            )
    return None


def _stopped(seen: Observation, found: Autoscaler) -> Finding | None:
    able, active = found.condition("AbleToScale"), found.condition("ScalingActive")
    if able and able.status == "False":
        return unknown(f"it stops before it reads metrics: {able.reason}: {able.message}")
    if active is None:
        return unknown(f"the controller has not looked at hpa/{found.name} yet")
    if active.status == "True":
        return None
    if not subject.settled(seen):
        return unknown(f"{active.reason}: the pods are new, there is no value yet")
    if active.reason == AMBIGUOUS:
        return broken(
            "ambiguous-selector",
            f"hpa/{found.name}: {active.message}",
            cause="The targets of these HPAs select the same pods, so neither scales.",
            fix="Give the pods of each a label of its own, and select by it.",
        )
    return broken(
        "scaling-inactive",
        f"hpa/{found.name}: ScalingActive is {active.status} ({active.reason}): {active.message}",
        cause="The controller could not compute a number of replicas.",
        fix=f"kubectl describe hpa {found.name}, and fix the first hop that has no value.",
    )


def _active(found: Autoscaler) -> Finding:
    active = found.condition("ScalingActive")
    assert active
    return ok(f"hpa/{found.name} ScalingActive ({active.reason})")
