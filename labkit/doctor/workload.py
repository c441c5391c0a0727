"""The two ends of the path: the pods whose queue is measured, and the Deployment whose size is set.

Pure judgements. They object to the mistakes that the lesson names: no probe, no request, two writers.
"""

from __future__ import annotations

import difflib

from labkit.doctor import deciding, extract, selecting, subject
from labkit.doctor.facts import Autoscaler, Observation, Pod, Workload
from labkit.doctor.finding import Finding, broken, ok, unknown, warning

UNSCHEDULABLE = "Unschedulable"
STOPS = ("AbleToScale", "ScalingActive")  # conditions of an HPA: one is False, and it scales nothing


def pods(seen: Observation) -> Finding:
    """Pods are running, belong to the Deployment, get traffic, and have the requests that the HPA needs."""
    found = subject.workload(seen)
    if found is None:
        hpa = subject.autoscaler(seen)
        told = (
            f"labkit can't find the pods of {hpa.target}" if hpa and seen.workloads else "nothing is deployed"
        )
        return unknown(f"{told} in namespace {seen.namespace}")
    mine = subject.pods(seen)
    return (
        _released(seen, found)
        or selecting.overlapping(seen, found)
        or selecting.without_request(seen, found)
        or _passed_by(seen, mine)
        or _none(found, mine)
        or _in_trouble(mine)
        or selecting.no_container(seen, found, mine)
        or selecting.without_own_request(seen, found, mine)
        or selecting.strange(seen, found)
        or _no_probe(found)
        or selecting.shared_service(seen, found)
        or _counted(mine)
    )


def _released(seen: Observation, found: Workload) -> Finding | None:
    """A pod that its ReplicaSet released, because someone changed the labels that its selector matched."""
    lost = [p for p in seen.pods if not p.owned and "pod-template-hash" in p.labels and not p.finished]
    if not lost:
        return None
    pod, wanted = lost[0], _selector(found.selector)
    labels = _selector({key: pod.labels.get(key, "") for key in found.selector})
    return broken(
        "released-pod",
        f"pod/{pod.name} runs, but no ReplicaSet owns it: its labels are {labels}, "
        f"the Deployment selects {wanted}",
        cause="A label of that pod was changed. It keeps its GPU and its waiting requests, but the Service "
        "sends it no new ones, and the HPA does not count it.",
        fix=f"kubectl label pod {pod.name} {wanted.replace(',', ' ')} --overwrite returns it; "
        f"kubectl delete pod {pod.name} deletes it.",
    )


def _passed_by(seen: Observation, mine: tuple[Pod, ...]) -> Finding | None:
    """A Service with the Deployment's name that selects none of its pods."""
    found = subject.workload(seen)
    for service in seen.services:
        mute = mine and service.selector and not any(subject.matches(service.selector, p) for p in mine)
        if found and service.name == found.name and mute:
            return broken(
                "service-selector",
                f"service/{service.name} looks for {_selector(service.selector)} and finds none of "
                f"{len(mine)} pods, whose labels are {_selector(mine[0].labels)}",
                cause="A label is misspelt in the Service or in the pod template: no request arrives.",
                fix=f"Give the Service the Deployment's selector: {_selector(found.selector)}.",
            )
    return None


def _none(found: Workload, mine: tuple[Pod, ...]) -> Finding | None:
    if mine:
        return None
    if found.replicas == 0:
        return broken(
            "scaled-to-zero",
            f"{found.title} is scaled to 0",
            cause="An HPA does not scale what was set to 0 replicas by hand (ScalingDisabled).",
            fix=f"kubectl scale {found.title} --replicas=1",
        )
    return broken(
        "no-pods",
        f"{found.title} wants {found.replicas} pods and has none",
        cause="Its controller can't create them: a quota, Pod Security, or a missing service account.",
        fix=f"kubectl describe {_maker(found)}: the events at the end say what was refused.",
    )


def _in_trouble(mine: tuple[Pod, ...]) -> Finding | None:
    bad = [p for p in mine if p.trouble and p.trouble != UNSCHEDULABLE]
    if not bad and (not mine or any(p.trouble != UNSCHEDULABLE for p in mine)):
        return None
    pod = (bad or mine)[0]
    return broken(
        "pod-not-running",
        f"pod/{pod.name}: {pod.trouble}; {sum(p.ready for p in mine)} of {len(mine)} pods are ready",
        cause="The pod can't run as it is: its image, its command, or what it requires of a node.",
        fix=f"kubectl describe pod {pod.name}: the events at the end say why.",
    )


def _no_probe(found: Workload) -> Finding | None:
    if not found.containers or any(c.readiness for c in found.containers):
        return None
    return warning(
        "no-readiness",
        f"no container of {found.title} has a readiness probe",
        cause="Without one a pod is ready as soon as its process runs: it gets requests while it still loads "
        "weights, and the HPA counts it as if it worked.",
        fix="Add readinessProbe: {httpGet: {path: /health, port: 8000}} to the container.",
    )


def _counted(mine: tuple[Pod, ...]) -> Finding:
    ready = sum(p.ready for p in mine)
    told = f"{ready} of {len(mine)} pods are ready"
    return ok(told) if ready else unknown(f"{told}: they are still starting")


def target(seen: Observation) -> Finding:
    """What the HPA scales exists, nothing else scales it, and there is room for its pods."""
    hpa, found = subject.autoscaler(seen), subject.workload(seen)
    if hpa is None:
        return unknown("there is no HPA that could set replicas")
    return (
        _missing(seen, hpa)
        or _unreadable(hpa)
        or _two_writers(found, hpa)
        or _no_room(seen)
        or _another_missing(seen, hpa)
        or _another_stopped(seen, hpa)
        or _size(found, hpa)
    )


def _there(seen: Observation, hpa: Autoscaler) -> bool:
    """Whether the HPA's target exists, as far as the doctor knows the kinds."""
    kind, _, name = hpa.target.partition("/")
    return kind not in subject.KINDS or any((w.kind, w.name) == (kind, name) for w in seen.workloads)


def _missing(seen: Observation, hpa: Autoscaler) -> Finding | None:
    kind, _, name = hpa.target.partition("/")
    able = hpa.condition("AbleToScale")
    read = kind != "Deployment" and able is not None and able.status == "True"  # it need not be listed for us
    if read or _there(seen, hpa):
        return None  # of other kinds the HPA's own condition decides
    known = [w.name for w in seen.workloads if w.kind == kind]
    close = difflib.get_close_matches(name, known, n=1)
    there = ", ".join(known) or "none"
    return broken(
        "no-target",
        f"hpa/{hpa.name} scales {hpa.target}, which does not exist in namespace {seen.namespace}",
        cause=f"Its name is misspelt: did you mean {close[0]}?" if close else f"{kind}s there: {there}.",
        fix=f"Correct spec.scaleTargetRef of the HPA, or create the {kind}.",
    )


def _unreadable(hpa: Autoscaler) -> Finding | None:
    """The controller's own words for a target of which it can't read how many replicas it has."""
    able = hpa.condition("AbleToScale")
    if able is None or able.status != "False" or able.reason != deciding.NO_SCALE:
        return None
    kind = hpa.target.partition("/")[0]
    close = difflib.get_close_matches(kind, subject.KINDS, n=1, cutoff=0.8)
    meant = close[0] if close and close[0] != kind else ""
    return broken(
        "no-scale",
        f"hpa/{hpa.name}: AbleToScale is False ({able.reason}): {able.message}",
        cause=f"The kind is misspelt: did you mean {meant}?"
        if meant
        else f"{hpa.target} does not exist, its kind has no subresource `scale`, or apiVersion is wrong.",
        fix="Correct kind, name and apiVersion in spec.scaleTargetRef of the HPA.",
    )


def _another_missing(seen: Observation, hpa: Autoscaler) -> Finding | None:
    """An HPA beside this one that scales nothing."""
    lost = [h for h in seen.autoscalers if h.name != hpa.name and not _there(seen, h)]
    if not lost:
        return None
    return warning(
        "another-without-target",
        f"hpa/{lost[0].name} beside it scales {lost[0].target}, which does not exist",
        cause=f"Its name is misspelt, or what it scaled was deleted. hpa/{hpa.name} is not touched by it.",
        fix=f"Correct its spec.scaleTargetRef, or kubectl delete hpa {lost[0].name}.",
    )


def _another_stopped(seen: Observation, hpa: Autoscaler) -> Finding | None:
    """An HPA beside this one that says of itself that it does not scale."""
    for other in seen.autoscalers:
        said = next((c for c in other.conditions if c.status == "False" and c.type in STOPS), None)
        if other.name != hpa.name and said:
            return warning(
                "another-stopped",
                f"hpa/{other.name} beside it does not scale: {said.reason}: {said.message}",
                cause=f"This diagnosis is about hpa/{hpa.name} only.",
                fix=f"Follow the other one's path: labkit doctor --hpa {other.name}, "
                f'or lab.doctor(hpa="{other.name}").',
            )
    return None


def _two_writers(found: Workload | None, hpa: Autoscaler) -> Finding | None:
    if found is None or not found.writers:
        return None
    # The last one to write it owns the field: where that is the HPA, the other one waits for its next apply.
    judged = warning if set(found.writers) == {extract.REMEMBERED} else broken
    return judged(
        "two-writers",
        f"spec.replicas of {found.title} has two writers: hpa/{hpa.name} and {', '.join(found.writers)}",
        cause="The manifest that was applied holds `replicas`. Each apply sets the Deployment back to that "
        "number, even under load, and the HPA starts over.",
        fix="Take `replicas` out of the manifest and out of what kubectl remembers of it: kubectl annotate "
        f"{found.title} kubectl.kubernetes.io/last-applied-configuration-",
    )


def _no_room(seen: Observation) -> Finding | None:
    mine = subject.pods(seen)
    waiting = [p for p in mine if p.trouble == UNSCHEDULABLE]
    if not waiting or len(waiting) == len(mine):
        return None
    told = f"{len(waiting)} of {len(mine)} pods are Pending: no node has room for them"
    if seen.leaving:
        return unknown(f"{told}, while {seen.leaving} terminating pods still hold their GPUs")
    return broken(
        "no-room",
        told,
        cause="The HPA asks for more GPUs than are free.",
        fix=f"kubectl describe pod {waiting[0].name} has each node's reason; add nodes or lower maxReplicas.",
    )


def _size(found: Workload | None, hpa: Autoscaler) -> Finding:
    if found is None:
        return unknown(f"labkit can't check {hpa.target}")
    return ok(f"{found.title}: {found.replicas} replicas, the HPA wants {hpa.desired}")


def _maker(found: Workload) -> str:
    """What creates its pods, for kubectl."""
    return "replicaset" if found.kind == "Deployment" else found.title


def _selector(labels: object) -> str:
    assert isinstance(labels, dict)
    shown = {k: v for k, v in labels.items() if k != "pod-template-hash"}
    return ",".join(f"{key}={value or '(none)'}" for key, value in shown.items()) or "nothing"
