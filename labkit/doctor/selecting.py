"""Which pods a Deployment's selector matches: an HPA counts all of them, whatever created them.

Pure judgements of pods that are not the Deployment's own: another Deployment's, a Job's, a finished test's.
"""

from __future__ import annotations

from collections.abc import Iterable

from labkit.doctor import subject
from labkit.doctor.facts import Container, Metric, Observation, Pod, Workload
from labkit.doctor.finding import Finding, broken


def lacking(wanted: Metric, containers: Iterable[Container]) -> list[str]:
    """The containers that lack the request of which the HPA takes a percentage; none if it needs none."""
    if wanted.type not in subject.RESOURCE or wanted.target != "Utilization":
        return []
    asked = [c for c in containers if wanted.container in {"", c.name}]
    return [c.name for c in asked if wanted.name not in c.requests]


def overlapping(seen: Observation, found: Workload) -> Finding | None:
    """Two Deployments whose selectors match the same pods: with an HPA on each, neither scales."""
    for other in seen.workloads:
        shared = [p for p in seen.pods if subject.selects(found, p) and subject.selects(other, p)]
        if other.name != found.name and shared and _both_matter(seen, found, other):
            return _overlap(seen, found, other, shared[0])
    return None


def _both_matter(seen: Observation, found: Workload, other: Workload) -> bool:
    """Whether an HPA counts pods that are not its own: both have one, or the one with the wider selector."""
    if _hpas(seen, other):
        return bool(_hpas(seen, found))
    return any(subject.belongs(p, other) for p in subject.strangers(seen)) and bool(_hpas(seen, found))


def _hpas(seen: Observation, found: Workload) -> list[str]:
    return [h.name for h in seen.autoscalers if h.target == f"Deployment/{found.name}"]


def _overlap(seen: Observation, found: Workload, other: Workload, pod: Pod) -> Finding:
    wide, narrow = (other, found) if subject.belongs(pod, found) else (found, other)
    hpas = [f"hpa/{name}" for each in (found, other) for name in _hpas(seen, each)]
    told = f"deployment/{wide.name} selects {_text(wide)}, deployment/{narrow.name} selects {_text(narrow)}"
    if len(hpas) > 1:
        cause = f"{' and '.join(hpas)} find the same pods: each reports AmbiguousSelector, neither scales."
    else:
        cause = f"{hpas[0]} counts the pods of deployment/{narrow.name} as if they were its own."
    return broken(
        "overlapping-selectors",
        f"{told}: both find pod/{pod.name}",
        cause=cause,
        fix=f"{_own_label(seen, wide)} A selector can't be changed: kubectl delete deployment {wide.name}, "
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
            return f"Add {key}: {value} to spec.selector.matchLabels of deployment/{wide.name}."
    return f"Give deployment/{wide.name} a label of its own, in spec.selector.matchLabels and its template."


def without_request(seen: Observation, found: Workload) -> Finding | None:
    """A pod that is not the Deployment's and has no request: the HPA can then compute nothing at all."""
    wanted = subject.metric(seen)
    for pod in subject.strangers(seen):
        if names := lacking(wanted, pod.containers):
            return broken(
                "stranger-without-request",
                f"pod/{pod.name} ({_whose(pod)}) has the labels that deployment/{found.name} selects "
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
    return broken(
        "stranger",
        f"pod/{pod.name} ({_whose(pod)}) has the labels that deployment/{found.name} selects: {_text(found)}",
        cause="The HPA counts every pod that the selector finds. This one has no value and slows scaling.",
        fix=_away(pod, found),
        lesser=True,
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
