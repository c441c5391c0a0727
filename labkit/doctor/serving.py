"""From Prometheus to the HPA: the adapter's names and the metrics API.

Pure judgements. The adapter is asked through the API server; if that can't reach it, nothing is known about
the adapter, and it gets no blame.
"""

from __future__ import annotations

from labkit.doctor import subject
from labkit.doctor.facts import Observation
from labkit.doctor.finding import Finding, broken, ok, skipped, unknown

OURS = ("adapter", "prometheus-adapter")  # of the lab, and of the released chart
INSTALL = {
    subject.CUSTOM: "Install prometheus-adapter, or scale with KEDA instead.",
    "metrics.k8s.io": "Install metrics-server.",
    "external.metrics.k8s.io": "Install what serves it: KEDA, or prometheus-adapter with externalRules.",
}
WHY_DOWN = {
    "ServiceNotFound": "Its Service does not exist: the name is misspelt, or the program was uninstalled.",
    "ServicePortError": "Its Service has no such port.",
    "MissingEndpoints": "No ready pod is behind its Service.",
    "EndpointsNotFound": "No ready pod is behind its Service.",
    "FailedDiscoveryCheck": "What is behind its Service does not answer as a metrics API: it is down, is "
    "another program, or its certificate is not of the authority in spec.caBundle.",
}


def adapter(seen: Observation) -> Finding:
    """The adapter has a rule that turns the series into the metric."""
    kind = subject.metric(seen).type
    if subject.group(kind) != subject.CUSTOM:
        return skipped(f"a metric of type {kind} needs no rule of the adapter")
    if not _served(seen):
        return unknown("the API server does not reach it")
    name = f"{seen.api.place}/{subject.served_name(seen)}"
    if name in seen.api.names:
        return ok(f"it serves {name}")
    if not subject.settled(seen):
        return unknown(f"it does not list {name} yet; it looks for new series every 30 s")
    return _taken(seen, name) or _no_rule(seen, name)


def _taken(seen: Observation, name: str) -> Finding | None:
    """The API belongs to a program other than prometheus-adapter."""
    owner = next((s.service for s in seen.api.services if s.available), "")
    if not owner or owner.partition("/")[2] in OURS:
        return None
    return broken(
        "api-taken",
        f"{seen.api.group} is served by service {owner}, which knows no {name}",
        cause="One program only can serve a group of the API, and this one took it over: what "
        "prometheus-adapter makes of Prometheus' series is not found any more.",
        fix=f"kubectl get apiservices | grep {seen.api.group}; point them at prometheus-adapter's Service "
        "again, and let the other program use external.metrics.k8s.io; or have it serve this metric.",
    )


def _no_rule(seen: Observation, name: str) -> Finding:
    metric, others = (
        name.partition("/")[2],
        [n for n in seen.api.names if n.endswith(f"/{name.partition('/')[2]}")],
    )
    told = f"; it has {', '.join(others)}" if others else ""
    return broken(
        "no-rule",
        f"the adapter serves {len(seen.api.names)} metrics, and {name} is not one of them{told}",
        cause=f"No rule of its configuration makes {metric} out of {subject.source(seen) or 'a series'}: "
        "seriesQuery, the label overrides or `name.as` are wrong.",
        fix="Compare its rules with cluster/localcluster/data/adapter-rules.yaml, and restart it: "
        "it reads them only at startup.",
    )


def api(seen: Observation) -> Finding:
    """The API server forwards requests to the service with the metrics, and each pod has a value."""
    group, services = seen.api.group, seen.api.services
    if services and not any(s.available for s in services):  # any one version is enough for the HPA
        one = services[0]
        whose = f" of service {one.service}" if one.service else ""
        return broken(
            "api-unavailable",
            f"apiservice/{one.name}{whose} is not Available ({one.reason}): {one.message}",
            cause=WHY_DOWN.get(one.reason, "The program behind its Service is down, or hangs."),
            fix="kubectl get apiservices -o wide, and compare spec.service with kubectl get services -A; "
            "then see whether the program behind it runs.",
        )
    if not _served(seen):
        refused = seen.api.services_error or seen.api.names_error
        if refused:
            return unknown(f"reading it is not allowed: {refused}")
        return broken(
            "no-api",
            f"nothing serves {group} in this cluster, where the HPA asks for {subject.metric(seen)}",
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
    names, metric = _names(seen), subject.metric(seen)
    if metric.type == "External":
        return _external(seen, names)
    if metric.type in subject.RESOURCE and metric.name not in subject.RESOURCES:
        return broken(
            "unknown-resource",
            f"the HPA asks for the usage of {metric}, and {seen.api.group} only knows "
            f"{' and '.join(subject.RESOURCES)}",
            cause="A metric of type Resource is what the kubelet measures, not what a container requests.",
            fix="For GPUs take DCGM's figures out of Prometheus, as a metric of type Pods.",
        )
    if not seen.api.values and not subject.settled(seen):
        return unknown(f"{names} Available; no value yet: no pod has been ready long enough")
    if seen.api.values_error:
        return broken(
            "no-values",
            f"{names} is there and answers: {seen.api.values_error}",
            cause="The adapter behind it can't get the values: its own source does not answer.",
            fix="Read the adapter's log: labkit logs prometheus-adapter, or kubectl logs -n monitoring.",
        )
    return _lacking(seen, names) or ok(f"{names} Available; {subject.served_name(seen)}: {_told(seen)}")


def _names(seen: Observation) -> str:
    """The APIServices that answer; with their Services where these are not the adapter's."""
    found = [s for s in seen.api.services if s.available]
    others = dict.fromkeys(s.service for s in found if s.service and s.service.partition("/")[2] not in OURS)
    whose = f" (service {', '.join(others)})" if others else ""
    return (", ".join(s.name for s in found) or seen.api.group) + whose


def _told(seen: Observation) -> str:
    return ", ".join(seen.api.values.values()) or "no value yet"


def _lacking(seen: Observation, names: str) -> Finding | None:
    """What the metric is of, each settled pod or the object, and has no value."""
    metric = subject.metric(seen)
    kind, _, name = metric.about.partition("/")
    lacking = [p.name for p in subject.settled(seen) if p.name not in seen.api.values]
    if metric.type == "Object":
        lacking = [] if seen.api.values else [name]
    if not lacking:
        return None
    kind = kind.lower() or "pod"
    return broken(
        "no-values",
        f"{names} has no value of {subject.served_name(seen)} for {kind}/{lacking[0]}",
        cause=f"Its series is missing, or its labels name another {kind} or namespace.",
        fix="Look at the hops before this one.",
    )


def _external(seen: Observation, names: str) -> Finding:
    metric = subject.metric(seen)
    if seen.api.values and not seen.api.values_error:
        return ok(f"{names} Available; {metric}: {_told(seen)}")
    where = f" with {metric.selector}" if metric.selector else ""
    owner = next((s.service for s in seen.api.services if s.available and s.service), "the program behind it")
    return broken(
        "no-values",
        f"{names} has no {metric}{where}: {seen.api.values_error or 'its list is empty'}",
        cause=f"Only what {owner} knows is in this API, and one program only can serve it.",
        fix="Correct the metric's name and selector in the HPA, or have that program serve it.",
    )
