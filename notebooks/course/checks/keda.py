"""Notebook 11's checks: the metrics API that KEDA serves, the HPA that it makes, takes over and gives back.

Pure. A run on a machine that was too busy is inconclusive, not wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from course.checks.hpa_queue import DEPLOYMENT
from labkit.checks.check import Check, Finding, differences, first_that_holds, nothing_yet, number
from labkit.checks.words import one_of
from labkit.doctor import extract
from labkit.evidence import Timeline
from labkit.evidence.quantity import plainly
from labkit.load.results import LoadResult
from localcluster.api import JsonLike
from localcluster.api.objects import KubeObject, dig

GROUP, SERVICE = "external.metrics.k8s.io", "keda/keda-metrics-apiserver"
OPERATOR, CONTROLLER = "keda-operator", "kube-controller-manager"
MADE, MINE = "hpa/keda-hpa-llm-inference-service", "hpa/llm-hpa"
SCALED = "scaledobject/llm-inference-service"
EXTERNAL: Mapping[str, Any] = {
    "spec.scaleTargetRef.name": DEPLOYMENT,
    "spec.minReplicas": 2,
    "spec.maxReplicas": 10,
    "spec.metrics.0.type": "External",
    "spec.metrics.0.external.target.type": "AverageValue",
    "spec.metrics.0.external.target.averageValue": "5",
}
"""The lesson's HPA, as KEDA makes it."""
AGAIN = "Run again from the cell that begins this section."


def served(services: Sequence[Mapping[str, Any]] | None) -> Finding:
    """KEDA's adapter answers external.metrics.k8s.io, and its APIService is Available."""
    every = [extract.api_service(KubeObject(service)) for service in services or ()]
    mine = [service for service in every if service.group == GROUP]
    told = [f"{s.name} of service {s.service} is {'' if s.available else 'not '}Available" for s in mine]
    right = any(s.available and s.service == SERVICE for s in mine)
    hint = first_that_holds(
        (right, ""),
        (not mine, "Has KEDA been started? Run the cell with lab.keda()."),
        (all(s.service != SERVICE for s in mine), f"Another program answers it. Which Service is {SERVICE}?"),
        (True, "KEDA's adapter does not answer (yet): `labkit status` shows its two processes."),
    )
    return Finding(passed=right, observed="; ".join(told) or f"there is no APIService of {GROUP}", hint=hint)


def same_hpa(hpa: JsonLike | None, scaled: JsonLike | None) -> Finding:
    """KEDA's HPA has the lesson's figures, and its trigger asks for the queue of all pods."""
    if not hpa:
        hint = "KEDA makes it once the ScaledObject is Ready: lab.kubectl('get scaledobject')."
        return Finding(passed=False, observed=f"there is no {MADE}", hint=hint)
    wrong = differences(hpa, {path: value for path, value in EXTERNAL.items() if dig(hpa, path) != value})
    asked = str(dig(scaled, "spec.triggers.0.metadata.query"))
    queue = "sum" in asked and "vllm:num_requests_waiting" in asked
    wrong += [] if queue else [f"its query is {asked}"]
    hint = first_that_holds(
        (not wrong, ""),
        ("maxReplicas" in str(wrong), "The file still allows two replicas only: which file was applied?"),
        (not queue, "Which series is the queue (notebook 05)? And all pods together are one number."),
        ("target.type" in str(wrong), "metricType: the HPA is to divide the sum by the pods."),
        ("averageValue" in str(wrong), "threshold becomes the HPA's target: about five for each pod."),
        (True, "Compare the file with manifests/base/hpa.yaml: the bounds and the target are the same."),
    )
    return Finding(passed=not wrong, observed="; ".join(wrong) or f"{MADE} has all these settings", hint=hint)


HOPS = {
    "HPA": ("hpa",),
    "KEDA": ("keda", "operator", "scaledobject"),
    "Prometheus": ("prometheus",),
    "adapter": ("adapter", "metrics api"),
}


def same_sum(average: Any, replicas: Any, divided_by: Any) -> Finding:
    """23 requests wait, two pods, 5 for each: what the HPA shows, what it asks for, and who divides."""
    shown, asked, who = number(average), number(replicas), one_of(divided_by, HOPS)
    hint = first_that_holds(
        (shown is None or asked is None, "The first two are numbers, the third is a hop."),
        (shown == 23, "23 is what KEDA serves. What stands in the HPA's status, beside the target 5?"),
        (shown != 11.5, "average: 23 requests over the pods that there are."),
        (asked == 4, "Four pods cover 20 of them. What about the other three?"),
        (asked != 5, "replicas: as in notebook 05, the sum over the target, rounded up."),
        (who != "HPA", "Up to which hop is it 23? The next one divides."),
    )
    observed = f"you say {plainly(average)} on average, {plainly(replicas)} replicas, divided by {divided_by}"
    return Finding(passed=not hint, observed=observed, hint=hint)


def moved(hpa: JsonLike | None, scaled: JsonLike | None, timeline: Timeline, load: LoadResult) -> Finding:
    """The HPA that was there before has KEDA's metric and owner; no replica and no request was lost."""
    if not hpa:
        return Finding(passed=False, observed=f"there is no {MINE}", hint=f"It was deleted. {AGAIN}")
    desired = [value for _, value in timeline.one("desired").steps()]
    if not desired or not load.rows:
        return nothing_yet("no replicas or no requests were recorded", AGAIN)
    kind, lost = dig(hpa, "spec.metrics.0.type"), sum(load.failures().values())
    fewer = any(later < earlier for earlier, later in pairwise(desired))
    hint = first_that_holds(
        (kind != "External", _why_not(scaled)),
        (not _owned(hpa), "It has KEDA's metric, and no ScaledObject owns it: was it made by hand?"),
        (not _older(hpa, scaled), f"This HPA is KEDA's own: the old one was deleted before. {AGAIN}"),
        (fewer, f"Replicas were taken away meanwhile: scale nothing by hand. {AGAIN}"),
        (lost > 0, "Requests failed (load.failures()): were pods deleted?"),
    )
    path = " → ".join(f"{value:g}" for value in desired)
    observed = f"{MINE}: {kind}, desired {path}, {len(load.rows)} requests, {lost} failed"
    return Finding(passed=not hint, observed=observed, hint=hint)


def _why_not(scaled: JsonLike | None) -> str:
    """Why the HPA is still fed by the adapter."""
    if not scaled:
        return "There is no ScaledObject: was the file refused?"
    annotations = dig(scaled, "metadata.annotations") or {}
    named = dig(scaled, "spec.advanced.horizontalPodAutoscalerConfig.name")
    return first_that_holds(
        (
            named != "llm-hpa",
            "KEDA has made an HPA of its own. Which field of the file says which HPA it is?",
        ),
        (
            annotations.get("scaledobject.keda.sh/transfer-hpa-ownership") != "true",
            "The name is right, and KEDA may not take it over: kubectl describe scaledobject.",
        ),
        (True, "KEDA looks at both only when the ScaledObject is new: delete it, and apply the file again."),
    )


def _owned(hpa: JsonLike) -> bool:
    owners = dig(hpa, "metadata.ownerReferences") or ()
    return any(dig(owner, "kind") == "ScaledObject" for owner in owners)


def _older(hpa: JsonLike, scaled: JsonLike | None) -> bool:
    """Whether someone other than KEDA made the HPA, and not after the ScaledObject."""
    managers = {str(dig(entry, "manager")) for entry in dig(hpa, "metadata.managedFields") or ()}
    return bool(managers - {OPERATOR, CONTROLLER}) and _made(hpa) <= _made(scaled)


def _made(obj: JsonLike | None) -> float:
    """When an object was made, as Unix time; 0 if that is not known."""
    said = dig(obj, "metadata.creationTimestamp")
    return datetime.fromisoformat(str(said)).timestamp() if said else 0.0


DELETERS = {
    "garbage collector": ("garbage collector", "garbage collection", "garbage-collector", "gc"),
    "operator": ("operator", "keda"),
    "HPA controller": ("hpa controller", "hpa"),
    "adapter": ("adapter",),
}


def owner(answer: Any) -> Finding:
    """The garbage collector deletes what a deleted object owned."""
    said = one_of(answer, DELETERS)
    hint = first_that_holds(
        (said == "garbage collector", ""),
        (said == "operator", "It was told that its ScaledObject is gone, and only took its finalizer off."),
        (not said, 'Answer with one of "operator", "HPA controller", "garbage collector", "adapter".'),
        (True, "It only reads the HPA. What deletes the pods of a deleted ReplicaSet?"),
    )
    return Finding(passed=said == "garbage collector", observed=f"you say {answer}", hint=hint)


def rolled_back(hpa: JsonLike | None, scaled: Sequence[JsonLike] | None, timeline: Timeline) -> Finding:
    """The adapter feeds the HPA again, nobody owns it, and it existed all the while."""
    if not timeline.began:
        return nothing_yet("no recording of the way back", AGAIN)
    if not hpa:
        hint = f"It went with its owner. Which option of kubectl delete leaves what it owned? {AGAIN}"
        return Finding(passed=False, observed=f"there is no {MINE}", hint=hint)
    kind = dig(hpa, "spec.metrics.0.type")
    hint = first_that_holds(
        (_made(hpa) > timeline.began, f"There was a moment without an HPA: this one is new. {AGAIN}"),
        (bool(scaled) and _owned(hpa), "KEDA still owns it. What has to go first, and what has to stay?"),
        (bool(scaled), "There is still a ScaledObject."),
        (
            kind != "Pods",
            "Nobody owns it, and nobody serves its metric. Which file of the course is the old HPA?",
        ),
    )
    since = f"made {timeline.began - _made(hpa):.0f} s before the recording began"
    again = f"made {_made(hpa) - timeline.began:.0f} s after the recording began"
    told = again if _made(hpa) > timeline.began else since
    return Finding(passed=not hint, observed=f"{MINE}: metric of type {kind}, {told}", hint=hint)


CHECKS: Sequence[Check] = (
    Check(
        "11.served",
        "v1beta1.external.metrics.k8s.io is answered by keda/keda-metrics-apiserver, and Available",
        "lab.keda() starts it; lab.kubectl('get apiservices') shows which Service answers what.",
        served,
        {"services": "apiservices"},
        settles=True,
        rows=(9,),
    ),
    Check(
        "11.same-sum",
        "the average that the HPA shows, the replicas that it asks for, and the hop that divides",
        "It is an HPA with AverageValue: see notebook 05.",
        same_sum,
        answers=("average", "replicas", "divided_by"),
        copying=False,
        rows=(6,),
    ),
    Check(
        "11.same-hpa",
        "KEDA's HPA: 2 to 10 replicas, External, AverageValue 5, of the sum of the queues",
        "Compare the ScaledObject with manifests/base/hpa.yaml, field by field.",
        same_hpa,
        {"hpa": MADE, "scaled": SCALED},
        settles=True,
        rows=(6, 9),
    ),
    Check(
        "11.moved",
        "the old llm-hpa, now of type External and owned by the ScaledObject; no replica, no request lost",
        "Two fields of the ScaledObject: an annotation that allows it, and the name of the HPA.",
        moved,
        {"hpa": MINE, "scaled": SCALED},
        settles=True,
        rows=(6, 9),
    ),
    Check(
        "11.owner",
        "what deleted llm-hpa",
        "Look at metadata.ownerReferences above. What in Kubernetes acts on owners?",
        owner,
        answers=("answer",),
        copying=False,
        rows=(9,),
    ),
    Check(
        "11.rolled-back",
        "llm-hpa is fed by the adapter again, has no owner, and existed at every moment",
        "In which order: the ScaledObject goes and leaves the HPA; the old file is applied.",
        rolled_back,
        {"hpa": MINE, "scaled": "scaledobjects"},
        settles=True,
        rows=(6, 9),
    ),
)
