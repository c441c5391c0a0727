"""Checks of "Mend this cluster" in notebook 05: which hop is broken, and whether it is mended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labkit.checks.check import Check, Finding, dig, matches
from labkit.checks.hpa_queue import LESSON_HPA, scaling_active
from labkit.doctor import extract
from labkit.doctor.pipeline import HOPS
from labkit.doctor.subject import CUSTOM
from labkit.kube.objects import KubeObject

NAMES = tuple(hop.name for hop in HOPS)
HASH = "pod-template-hash"


def blames(right: str) -> Callable[..., Finding]:
    """A judge of the answer to "which hop is the first broken one?"."""

    def judge(answer: Any) -> Finding:
        said = str(answer).strip()
        if said.lower() not in {name.lower() for name in NAMES}:
            hint = f"Answer with one of: {', '.join(NAMES)}."
            return Finding(passed=False, observed=f"{answer!r} is no hop", hint=hint)
        return Finding(passed=said.lower() == right.lower(), observed=f"you blame {said}")

    return judge


def taken_back(pods: Sequence[Mapping[str, Any]] | None) -> Finding:
    """Each pod that a ReplicaSet made has one that looks after it, and is not on its way out."""
    made = [p for p in pods or () if HASH in (dig(p, "metadata.labels") or {})]
    lost = [str(dig(p, "metadata.name")) for p in made if not dig(p, "metadata.ownerReferences")]
    if not made:
        return Finding(passed=False, observed="there are no pods of the Deployment")
    told = f"pods that belong to nobody: {', '.join(lost)}" if lost else "all of them belong to a ReplicaSet"
    return Finding(passed=not lost, observed=f"{len(made)} pods of the Deployment; {told}")


def available(services: Sequence[Mapping[str, Any]] | None) -> Finding:
    """Each version of the custom metrics API leads to somebody who answers."""
    every = [extract.api_service(KubeObject(service)) for service in services or ()]
    mine = [service for service in every if service.group == CUSTOM]
    told = (f"{s.name} is {'' if s.available else 'not '}Available ({s.reason}: {s.message})" for s in mine)
    observed = "; ".join(told) or f"there is no APIService of {CUSTOM}"
    return Finding(passed=bool(mine) and all(s.available for s in mine), observed=observed)


def average_again(hpa: Mapping[str, Any] | None) -> Finding:
    """The queue is divided by the pods again, and the controller can read it."""
    metric = {path: value for path, value in LESSON_HPA.items() if path.startswith("spec.metrics")}
    found = matches(hpa, metric, name="hpa/llm-hpa")
    return scaling_active(hpa) if found.passed else found


def one_writer(deployment: Mapping[str, Any] | None) -> Finding:
    """Only the HPA sets spec.replicas."""
    if not deployment:
        return Finding(passed=False, observed="there is no deployment/llm-inference-service")
    others = extract.workload(KubeObject(deployment)).writers
    told = f"spec.replicas is also written by: {', '.join(others)}" if others else "only the HPA writes it"
    return Finding(passed=not others, observed=told)


CHECKS: Sequence[Check] = (
    Check(
        "05.label-hop",
        "the hop at which the lost pod's queue drops out of the HPA's sum",
        "Its page and its series are there. Who decides which pods count, and by what?",
        blames("pods"),
        rows=(1, 6),
    ),
    Check(
        "05.label-mended",
        "no pod of the Deployment runs without a ReplicaSet that looks after it",
        "lab.show('pods') with their labels: kubectl get pods --show-labels. Give it the label, or end it.",
        taken_back,
        {"pods": "pods"},
        settles=True,
        rows=(1, 6),
    ),
    Check(
        "05.api-hop",
        "the hop that does not pass requests on",
        "Who answers with an error when you ask: the adapter, or the API server before it gets that far?",
        blames("metrics API"),
        rows=(6,),
    ),
    Check(
        "05.api-mended",
        "both APIServices of the custom metrics API are Available",
        "Compare its spec.service with the Services that there are: kubectl get services -n monitoring.",
        available,
        {"services": "apiservices"},
        settles=True,
        rows=(6,),
    ),
    Check(
        "05.rule-hop",
        "the first hop that does not know the number",
        "Read from the top: which is the last hop that still has the number, which the first without it?",
        blames("adapter"),
        rows=(6,),
    ),
    Check(
        "05.sum-hop",
        "the hop that asks the wrong question",
        "All numbers are right, and every hop hands them on. Who computes the wrong thing with them?",
        blames("HPA"),
        rows=(6,),
    ),
    Check(
        "05.sum-mended",
        "llm-hpa divides the queue by the pods (Pods, AverageValue 5) and is active",
        "Compare its metric with the lesson's: type, target, and whose number it is.",
        average_again,
        {"hpa": "hpa/llm-hpa"},
        settles=True,
        rows=(6,),
    ),
    Check(
        "05.replicas-hop",
        "the hop at which two write the same number",
        "The HPA said the right thing. Which object did not keep it?",
        blames("scale target"),
        rows=(1, 6),
    ),
    Check(
        "05.replicas-mended",
        "nobody but the HPA writes spec.replicas of the Deployment",
        "kubectl keeps what it applied in the annotation last-applied-configuration. Is `replicas` in it?",
        one_writer,
        {"deployment": "deployment/llm-inference-service"},
        settles=True,
        rows=(1, 6),
    ),
)
