"""Which pods a Deployment's selector matches: an HPA counts all of them, whatever created them.

Pure judgements of pods that are not the Deployment's own: another Deployment's, a Job's, a finished test's.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from labkit.doctor import subject
from labkit.doctor.facts import Container, Metric, Observation, Pod, Workload
from labkit.doctor.finding import Finding, broken, warning


def lacking(wanted: Metric, containers: Iterable[Container]) -> list[str]:
    """The containers that lack the request of which the HPA takes a percentage; none if it needs none."""
    percentage = wanted.type in subject.RESOURCE and wanted.target == "Utilization"
    if not percentage or wanted.name not in subject.RESOURCES:
        return []
    asked = [c for c in containers if wanted.container in {"", c.name}]
    return [c.name for c in asked if wanted.name not in c.requests]


def no_container(seen: Observation, found: Workload, mine: Sequence[Pod]) -> Finding | None:
    """The container of a metric of type ContainerResource, which some pod does not have."""
    wanted = subject.metric(seen)
    told = [(p.name, p.containers) for p in mine if p.containers] or [(found.name, found.containers)]
    for name, containers in told:
        names = [c.name for c in containers]
        if wanted.container and names and wanted.container not in names:
            close = difflib.get_close_matches(wanted.container, names, n=1)
            return broken(
                "no-container",
                f"the HPA asks for {wanted}, and {name} has no such container: {', '.join(names)}",
                cause=f"Did you mean {close[0]}?"
                if close
                else "It was renamed in the pod template, or taken out.",
                fix="Correct containerResource.container of the HPA: until then it computes nothing.",
            )
    return None


def without_own_request(seen: Observation, found: Workload, mine: Sequence[Pod]) -> Finding | None:
    """Judge every pod, if there are any: a LimitRange can add requests that the template lacks."""
    wanted = subject.metric(seen)
    template = lacking(wanted, found.containers)
    pods = [pod for pod in mine if pod.containers]
    for name, containers in [(f"pod/{p.name}", p.containers) for p in pods] or [
        (found.title, found.containers)
    ]:
        if names := lacking(wanted, containers):
            whose = found.title if template else f"{name}, older than the template of {found.title},"
            return broken(
                "no-request",
                f"container {', '.join(names)} of {whose} requests no {wanted.name}",
                cause=f"The HPA's target is a percentage of the request for {wanted.name}, which is missing"
                + (": with one such container it computes nothing." if len(containers) > len(names) else "."),
                fix=f"Put resources.requests.{wanted.name} into the pod template."
                if template
                else f"Replace that pod: kubectl rollout restart {found.title}",
            )
    return None


def shared_service(seen: Observation, found: Workload) -> Finding | None:
    """A Service whose selector finds the pods of two Deployments: a canary, or a mistake."""
    for service in seen.services:
        hit = [p for p in seen.pods if subject.matches(service.selector, p)]
        owners = [w for w in seen.workloads if any(subject.belongs(p, w) for p in hit)]
        if found in owners and len(owners) > 1:
            others = [w for w in owners if w != found]
            chosen = ",".join(f"{key}={value}" for key, value in service.selector.items())
            return warning(
                "shared-service",
                f"service/{service.name} sends requests to the pods of {found.title} and of "
                f"{', '.join(w.title for w in others)}: it selects {chosen}",
                cause=f"Wanted for a canary. Otherwise {others[0].title} gets requests that are not its own: "
                "load that the HPA does not see.",
                fix=f"Add a label to the selector of service/{service.name} that {others[0].title} lacks.",
            )
    return None


def overlapping(seen: Observation, found: Workload) -> Finding | None:
    """Two Deployments whose selectors match the same pods: with an HPA on each, neither scales."""
    for other in seen.workloads:
        shared = [p for p in seen.pods if subject.selects(found, p) and subject.selects(other, p)]
        if other != found and shared and _both_matter(seen, found, other):
            return _overlap(seen, found, other, shared[0])
    return None


def _both_matter(seen: Observation, found: Workload, other: Workload) -> bool:
    """Whether an HPA counts pods that are not its own: both have one, or the one with the wider selector."""
    if _hpas(seen, other):
        return bool(_hpas(seen, found))
    return any(subject.belongs(p, other) for p in subject.strangers(seen)) and bool(_hpas(seen, found))


def _hpas(seen: Observation, found: Workload) -> list[str]:
    return [h.name for h in seen.autoscalers if h.target == f"{found.kind}/{found.name}"]


def _overlap(seen: Observation, found: Workload, other: Workload, pod: Pod) -> Finding:
    wide, narrow = (other, found) if subject.belongs(pod, found) else (found, other)
    hpas = [f"hpa/{name}" for each in (found, other) for name in _hpas(seen, each)]
    told = f"{wide.title} selects {_text(wide)}, {narrow.title} selects {_text(narrow)}"
    if len(hpas) > 1:
        cause = f"{' and '.join(hpas)} find the same pods: each reports AmbiguousSelector, neither scales."
    else:
        cause = f"{hpas[0]} counts the pods of {narrow.title} as if they were its own."
    return broken(
        "overlapping-selectors",
        f"{told}: both find pod/{pod.name}",
        cause=cause,
        fix=f"{_own_label(seen, wide)} A selector can't be changed: kubectl delete {wide.title}, "
        "then apply it again. Keep both HPAs.",
    )


def _own_label(seen: Observation, wide: Workload) -> str:
    """A label that would separate them: the wider one's own pods have it, and the others do not."""
    mine = [p for p in seen.pods if subject.belongs(p, wide)]
    others = [p for p in seen.pods if subject.selects(wide, p) and p not in mine]
    for key, value in (mine[0].labels if mine else {}).items():
        taken = key in {"pod-template-hash", *wide.selector} or any(
            p.labels.get(key) == value for p in others
        )
        if not taken:
            return f"Add {key}: {value} to spec.selector.matchLabels of {wide.title}."
    return f"Give {wide.title} a label of its own, in spec.selector.matchLabels and its template."


def without_request(seen: Observation, found: Workload) -> Finding | None:
    """A pod that is not the Deployment's and has no request: the HPA can then compute nothing at all."""
    wanted = subject.metric(seen)
    for pod in subject.strangers(seen):
        if names := lacking(wanted, pod.containers):
            return broken(
                "stranger-without-request",
                f"pod/{pod.name} ({_whose(pod)}) has the labels that {found.title} selects "
                f"({_text(found)}), and its container {', '.join(names)} requests no {wanted.name}",
                cause="The HPA takes its percentage of the requests of all pods that the selector finds. "
                f"With one that requests no {wanted.name} it computes nothing, even after that pod ended.",
                fix=_away(pod, found),
            )
    return None


def strange(seen: Observation, found: Workload) -> Finding | None:
    """A pod that is not the Deployment's, and counts as a pod without a value."""
    counted = [p for p in subject.strangers(seen) if p.phase != "Failed"]
    if not counted or not _hpas(seen, found):
        return None
    pod = counted[0]
    return warning(
        "stranger",
        f"pod/{pod.name} ({_whose(pod)}) has the labels that {found.title} selects: {_text(found)}",
        cause="The HPA counts every pod that the selector finds. This one has no value and slows scaling.",
        fix=_away(pod, found),
    )


def _whose(pod: Pod) -> str:
    maker = f"of {pod.owner[0].lower()}{pod.owner[1:]}" if pod.owner else "made by hand"
    return f"{maker}, {pod.phase}" if pod.finished else maker


def _away(pod: Pod, found: Workload) -> str:
    """How to make the selector no longer match a pod."""
    kind, _, name = pod.owner.partition("/")
    if kind == "Job":
        return f"kubectl delete job {name}, and give its pod template other labels than {_text(found)}."
    if kind:
        return f"Give the pods of {kind} {name} other labels than {_text(found)}."
    key = next(iter(found.selector), "")
    other = f", or take the label off: kubectl label pod {pod.name} {key}-" if key else ""
    return f"kubectl delete pod {pod.name}{other}"


def _text(found: Workload) -> str:
    return found.selects or ",".join(f"{key}={value}" for key, value in found.selector.items())
