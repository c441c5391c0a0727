"""What the HPA makes of its metrics: its name for each, its own conditions, and other HPAs beside it.

Pure judgements.
"""

from __future__ import annotations

import difflib

from labkit.doctor import subject
from labkit.doctor.facts import Autoscaler, Condition, Observation
from labkit.doctor.finding import Finding, broken, ok, unknown

AMBIGUOUS, NO_SCALE = "AmbiguousSelector", "FailedGetScale"


def hpa(seen: Observation) -> Finding:
    """The HPA asks for an existing metric, can settle, and is the only one for its target."""
    found = subject.autoscaler(seen)
    if found is None:
        return _no_hpa(seen)
    return (
        _rivals(seen, found)
        or _wrong_name(seen, found)
        or _value_of_a_sum(seen, found)
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
    if wanted.name in known or wanted.name == subject.served_name(seen):
        return None  # known, or it resembles nothing that is: then the adapter lacks a rule
    close = difflib.get_close_matches(wanted.name, known, n=1)
    return broken(
        "unknown-metric",
        f"hpa/{found.name} asks for {wanted.name}, but the custom metrics API serves no metric of that name",
        cause=f"Did you mean {close[0]}?" if close else "The name in Prometheus is not the name in the API.",
        fix="Write a name that kubectl get --raw /apis/custom.metrics.k8s.io/v1beta2 lists.",
    )


def _value_of_a_sum(seen: Observation, found: Autoscaler) -> Finding | None:
    metric = subject.metric(seen)
    if metric.type != "Object" or metric.target != "Value" or metric.name not in subject.SOURCES:
        return None
    return broken(
        "value-of-a-sum",
        f"hpa/{found.name} holds {metric}, a sum over pods, against a `Value`",
        cause="`Value` multiplies the ready pods by sum / target: with the same queue, the more pods "
        "there are, the more it asks for.",
        fix="Use a metric of type Pods with AverageValue: the sum is then divided by the pods.",
    )


def _stopped(seen: Observation, found: Autoscaler) -> Finding | None:
    able, active = found.condition("AbleToScale"), found.condition("ScalingActive")
    if able and able.status == "False":
        return _unable(found, able)
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


def _unable(found: Autoscaler, able: Condition) -> Finding:
    if able.reason == NO_SCALE:  # the hop `scale target` says why
        return unknown(f"it stops before it reads metrics: {able.reason}: {able.message}")
    return broken(
        "not-able-to-scale",
        f"hpa/{found.name}: AbleToScale is False ({able.reason}): {able.message}",
        cause=f"The controller knows how many replicas it wants, and can't set them on {found.target}.",
        fix="Read what refuses the write: an admission webhook, a quota, or missing rights.",
    )


def _active(found: Autoscaler) -> Finding:
    active, limited = found.condition("ScalingActive"), found.condition("ScalingLimited")
    assert active
    bound = f"; {limited.reason}: {limited.message}" if limited and limited.status == "True" else ""
    return ok(f"hpa/{found.name} ScalingActive ({active.reason}){bound}")
