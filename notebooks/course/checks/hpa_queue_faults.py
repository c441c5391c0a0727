"""Checks of "Fix this cluster" in notebook 05: which hop is broken, and whether it is fixed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from course.checks.hpa_queue import DEPLOYMENT, LESSON_HPA, scaling_active
from labkit.checks.check import Check, Finding, differences, first_that_holds, nothing_yet
from labkit.doctor import extract
from labkit.doctor.pipeline import HOPS
from labkit.doctor.subject import CUSTOM
from localcluster.api.objects import KubeObject, dig

NAMES = tuple(hop.name for hop in HOPS)
HASH = "pod-template-hash"


def blames(right: str, question: str, names: Sequence[str] = NAMES) -> Callable[..., Finding]:
    """A judge for "which hop is the first broken one?"; `question` is the hint for a wrong answer."""
    order = [name.lower() for name in names]

    def judge(answer: Any) -> Finding:
        said = str(answer).strip().lower()
        if said not in order:
            hint = f"Answer with one of: {', '.join(names)}."
            return Finding(passed=False, observed=f"{answer!r} is not a hop", hint=hint)
        name = names[order.index(said)]
        hint = first_that_holds(
            (said == right.lower(), ""),
            (
                order.index(said) < order.index(right.lower()),
                f"At `{name}` all is as it should be. Go on to the later hops.",
            ),
            (True, f"`{name}` only shows what an earlier hop has done. Go back to the earlier hops."),
        )
        hint = f"{hint} {question}" if hint else ""
        return Finding(passed=said == right.lower(), observed=f"you blame {name}", hint=hint)

    return judge


def taken_back(pods: Sequence[Mapping[str, Any]] | None) -> Finding:
    """Each pod that a ReplicaSet created is owned by one again, and is not terminating."""
    made = [p for p in pods or () if _made_for(p, DEPLOYMENT)]
    lost = [p for p in made if not dig(p, "metadata.ownerReferences")]
    if not made:
        again = "Run again from the cell that labels one of the pods app=debug."
        return nothing_yet(f"there are no pods of {DEPLOYMENT}", again)
    named = ", ".join(f"{dig(p, 'metadata.name')} (app={dig(p, 'metadata.labels.app')})" for p in lost)
    told = f"pods without a ReplicaSet: {named}" if lost else "all of them belong to a ReplicaSet"
    return Finding(passed=not lost, observed=f"{len(made)} pods of {DEPLOYMENT}; {told}")


def _made_for(pod: Mapping[str, Any], deployment: str) -> bool:
    """Whether a ReplicaSet of that Deployment created the pod, whatever its labels say now."""
    made = (dig(pod, "metadata.labels") or {}).get(HASH)
    return bool(made) and str(dig(pod, "metadata.name")).startswith(f"{deployment}-{made}-")


def available(services: Sequence[Mapping[str, Any]] | None) -> Finding:
    """Each version of the custom metrics API leads to a service that answers."""
    every = [extract.api_service(KubeObject(service)) for service in services or ()]
    mine = [service for service in every if service.group == CUSTOM]
    told = (f"{s.name} is {'' if s.available else 'not '}Available ({s.reason}: {s.message})" for s in mine)
    observed = "; ".join(told) or f"there is no APIService of {CUSTOM}"
    broken = [s for s in mine if not s.available]
    hint = first_that_holds(
        (
            not mine,
            (
                "They are all gone: lab.faults.lift() puts the lab's own part back; then plant "
                "the fault again."
            ),
        ),
        (0 < len(broken) < len(mine), f"{_names(broken)} is still broken: each version is its own object."),
        (any(s.reason == "ServiceNotFound" for s in broken), NO_SERVICE),
    )
    return Finding(passed=bool(mine) and not broken, observed=observed, hint=hint)


def _names(services: Sequence[Any]) -> str:
    return " and ".join(f"apiservice/{service.name}" for service in services)


NO_SERVICE = (
    "No Service has the name in its spec.service. Which name does the third API have, the one that works? "
    "kubectl patch takes kind and name: apiservice/NAME."
)


def average_again(hpa: Mapping[str, Any] | None) -> Finding:
    """The queue is divided by the pods again, and the controller can read it."""
    metric = {path: value for path, value in LESSON_HPA.items() if path.startswith("spec.metrics")}
    wrong = differences(hpa, metric)
    if not hpa or wrong:
        observed = "; ".join(wrong) if hpa else "there is no hpa/llm-hpa"
        return Finding(passed=False, observed=observed, hint=OTHER_METRIC)
    return scaling_active(hpa)


OTHER_METRIC = (
    "Which object's number does this metric use, and does its target apply to each pod? "
    "Which file of the course contains the lesson's own HPA?"
)


def one_writer(deployment: Mapping[str, Any] | None) -> Finding:
    """Only the HPA sets spec.replicas."""
    if not deployment:
        again = "Run again from the cell that applies the server's manifest with kubectl."
        return nothing_yet(f"there is no deployment/{DEPLOYMENT}", again)
    others = extract.workload(KubeObject(deployment)).writers
    told = f"spec.replicas is also written by: {', '.join(others)}" if others else "only the HPA writes it"
    return Finding(passed=not others, observed=told)


LABEL_ASKS = "Its metrics page and its series are there. What decides what counts as one of the servers?"
API_ASKS = "What returns the error when you ask: the adapter, or the API server before it gets there?"
RULE_ASKS = "Read from the top: which is the last hop that has the number, and which is the first without it?"
SUM_ASKS = "All numbers are right, and every hop passes them on. Which computes the wrong thing with them?"
REPLICAS_ASKS = "The HPA set the right number. Which object did not keep it?"

CHECKS: Sequence[Check] = (
    Check(
        "05.label-hop",
        "the hop at which the lost pod's queue drops out of the HPA's sum",
        LABEL_ASKS,
        blames("pods", LABEL_ASKS),
        answers=("answer",),
        copying=True,
        rows=(1, 6),
    ),
    Check(
        "05.label-mended",
        "no pod of the Deployment runs without a ReplicaSet that owns it",
        "kubectl get pods --show-labels shows their labels. Give the pod its label back, or delete it.",
        taken_back,
        {"pods": "pods"},
        settles=True,
        rows=(1, 6),
    ),
    Check(
        "05.api-hop",
        "the hop that does not pass requests on",
        API_ASKS,
        blames("metrics API", API_ASKS),
        answers=("answer",),
        copying=True,
        rows=(6,),
    ),
    Check(
        "05.api-mended",
        "both APIServices of the custom metrics API are Available",
        "Compare its spec.service with the Services that exist: kubectl get services -n monitoring.",
        available,
        {"services": "apiservices"},
        settles=True,
        rows=(6,),
    ),
    Check(
        "05.rule-hop",
        "the first hop that does not have the number",
        RULE_ASKS,
        blames("adapter", RULE_ASKS),
        answers=("answer",),
        copying=True,
        rows=(6,),
    ),
    Check(
        "05.sum-hop",
        "the hop that computes the wrong thing",
        SUM_ASKS,
        blames("HPA", SUM_ASKS),
        answers=("answer",),
        copying=True,
        rows=(6,),
    ),
    Check(
        "05.sum-mended",
        "llm-hpa divides the queue by the pods (Pods, AverageValue 5) and is active",
        "Compare its metric with the lesson's: type, target, and which object it belongs to.",
        average_again,
        {"hpa": "hpa/llm-hpa"},
        settles=True,
        rows=(6,),
    ),
    Check(
        "05.replicas-hop",
        "the hop at which two writers set the same number",
        REPLICAS_ASKS,
        blames("scale target", REPLICAS_ASKS),
        answers=("answer",),
        copying=True,
        rows=(1, 6),
    ),
    Check(
        "05.replicas-mended",
        "only the HPA writes spec.replicas of the Deployment",
        "kubectl keeps what it applied in the annotation last-applied-configuration. Is `replicas` in it?",
        one_writer,
        {"deployment": "deployment/llm-inference-service"},
        settles=True,
        rows=(1, 6),
    ),
)
