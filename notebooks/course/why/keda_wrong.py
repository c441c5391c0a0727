"""What is wrong with a ScaledObject: what the operator's messages mean, and triggers that only look right.

Queries are not shown: they may be secret. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from course.hpa.audit import mapping
from course.why.snapshot import listed
from labkit.doctor import extract
from labkit.doctor.keda import TRANSFER, can_be_empty, divided
from localcluster.api.objects import KubeObject


class Wrong(NamedTuple):
    """The cause in a sentence, and what mends it."""

    cause: str
    fix: str


UNKNOWN = Wrong("", "kubectl describe scaledobject shows the operator's error")
CURES: Mapping[str, Wrong] = {
    "<empty>": Wrong(
        "What the trigger logs in with is empty: its TriggerAuthentication, or the Secret that this names, "
        "is not there.",
        fix="compare authenticationRef with kubectl get triggerauthentications (or "
        "clustertriggerauthentications), and their secretTargetRef with kubectl get secrets; those of a "
        "ClusterTriggerAuthentication are in KEDA's namespace",
    ),
    "already exists": Wrong(
        "An HPA of that name is there, and KEDA takes it over only by a new ScaledObject that says so.",
        f'delete the ScaledObject, then apply it with the annotation {TRANSFER}: "true"',
    ),
    "scaleTargetRef": Wrong(
        "What it is to scale does not exist, or has no scale.",
        "correct spec.scaleTargetRef (apiVersion, kind, name), or create the target",
    ),
    "Triggers defined": Wrong(
        "A trigger can't be asked, or does not answer with one number.",
        fix="its events say which (kubectl describe scaledobject, KEDAScalerFailed); of Prometheus, status "
        "400 is a query that it can't read, and an empty result is an error if ignoreNullValues is false",
    ),
}
"""By what stands in the operator's message."""


def cure(message: str) -> Wrong:
    """What a message of the operator means, and what mends it."""
    return next((wrong for sign, wrong in CURES.items() if sign in message), UNKNOWN)


def trigger(scaled: KubeObject, *, asleep: bool) -> Wrong | None:
    """What is wrong in the first trigger that KEDA calls ready, and that can't do what it is for.

    `asleep`: no trigger is active, so an empty answer may be the reason.
    """
    for each in listed(scaled.at("spec.triggers")):
        found = extract.trigger(KubeObject(mapping(each)))
        if wrong := divided(found):
            return Wrong(f"Its trigger is wrong: {wrong.cause}", wrong.fix)
        if asleep and found.type == "prometheus" and can_be_empty(found):
            return Wrong(
                "A query without a value counts as 0, and part of this one may have none.",
                fix="ask Prometheus for the query; write `or vector(0)` into each part whose series may not "
                'exist; ignoreNullValues: "false" makes the rest an error that is seen',
            )
    return None
