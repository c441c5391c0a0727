"""Every reason that the HPA's controller gives, in a condition or an event: what it means, and what mends it.

A test reads the reasons from the source of the pinned Kubernetes, so a new one can't be missing here.
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#appendix-horizontal-pod-autoscaler-status-conditions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from course.hpa.decision import Decision


@dataclass(frozen=True)
class Meaning:
    """What a reason says; `fix` is empty where nothing is wrong."""

    says: str
    fix: str = ""


_METRIC = "read the message; then ask the metrics API yourself with kubectl get --raw"
_SELECTOR = "give the target a selector: a custom resource's scale needs labelSelectorPath"
_SCALE = "correct spec.scaleTargetRef (apiVersion, kind, name), or create the target"
_WRITE = "see what refuses the write: an admission webhook, a quota, or the controller's rights"

CONDITIONS: Mapping[str, Meaning] = {
    # AbleToScale
    "SucceededGetScale": Meaning("the controller could read the target's scale"),
    "FailedGetScale": Meaning("the controller can't read the target's scale", _SCALE),
    "FailedUpdateScale": Meaning("the controller could not write the new number of replicas", _WRITE),
    "SucceededRescale": Meaning("the controller changed the number of replicas"),
    "ReadyForNewScale": Meaning("no stabilization window holds it back"),
    "ScaleDownStabilized": Meaning("a higher recommendation within the stabilization window counts"),
    "ScaleUpStabilized": Meaning("a lower recommendation within the stabilization window counts"),
    # ScalingActive
    "ValidMetricFound": Meaning("the controller computed a number from the metrics"),
    "InvalidSelector": Meaning("the target's scale has no selector that can be used", _SELECTOR),
    "AmbiguousSelector": Meaning(
        "the target's pods belong to more than one HPA, so none of them scales",
        "keep one HPA for these pods, or give the pods of each target a label of its own",
    ),
    "ScalingDisabled": Meaning(
        "the target has 0 replicas, which switches the HPA off",
        "set the replicas to 1 or more by hand, or let something else (KEDA) wake it",
    ),
    "FailedGetResourceMetric": Meaning("there is no usable CPU or memory figure", _METRIC),
    "FailedGetContainerResourceMetric": Meaning("there is no usable figure of that container", _METRIC),
    "FailedGetPodsMetric": Meaning("there is no usable pod metric", _METRIC),
    "FailedGetObjectMetric": Meaning("there is no usable metric of that object", _METRIC),
    "FailedGetExternalMetric": Meaning("there is no usable external metric", _METRIC),
    "InvalidMetricSourceType": Meaning(
        "the HPA has a type of metric that this version does not know", _METRIC
    ),
    # ScalingLimited
    "DesiredWithinRange": Meaning("no limit applies"),
    "TooFewReplicas": Meaning("minReplicas keeps it up"),
    "TooManyReplicas": Meaning("maxReplicas keeps it down"),
    "ScaleUpLimit": Meaning("it may not grow faster at the moment"),
    "ScaleDownLimit": Meaning("it may not shrink faster at the moment"),
    # ScaledToZero
    "ScaledToZero": Meaning("the HPA itself took the last replica away"),
    "NotScaledToZero": Meaning("the HPA did not take the last replica away"),
}

EVENTS: Mapping[str, Meaning] = {
    "SuccessfulRescale": Meaning("the HPA changed the number of replicas"),
    "FailedRescale": Meaning("the HPA could not write the new number of replicas", _WRITE),
    "FailedComputeMetricsReplicas": Meaning("no metric could be computed", _METRIC),
    "SelectorRequired": Meaning("the target's scale has no selector", _SELECTOR),
    "FailedUpdateStatus": Meaning("the controller could not write the HPA's status", _WRITE),
    **{
        name: CONDITIONS[name]
        for name in (
            "FailedGetScale",
            "InvalidSelector",
            "AmbiguousSelector",
            "FailedGetResourceMetric",
            "FailedGetContainerResourceMetric",
            "FailedGetPodsMetric",
            "FailedGetObjectMetric",
            "FailedGetExternalMetric",
            "InvalidMetricSourceType",
        )
    },
}

BLIND, ASLEEP = "FailedGetScale", "ScalingDisabled"


def reason(decision: Decision) -> str:
    """The last stage that made the number what it is, in the controller's word where it has one.

    Without any limit: WithinTolerance, WouldChangeDirection, AboveTarget, BelowTarget or OnTarget.
    """
    if decision.look.unreadable:
        return BLIND
    limits = (decision.bounded, decision.limited.by, decision.stabilized.by)
    named = next((by for by in limits if by), "")
    if named or decision.proposed is None:
        return named or _uncomputed(decision)
    winner = decision.winner
    held = {"tolerance": "WithinTolerance", "direction": "WouldChangeDirection"}
    if winner and winner.held:
        return held[winner.held]
    if decision.proposed == decision.current:
        return "OnTarget"
    return "AboveTarget" if decision.proposed > decision.current else "BelowTarget"


def _uncomputed(decision: Decision) -> str:
    """The first metric that failed gives the reason; without any, nothing was asked."""
    failed = next((p.target.source for p in decision.proposals if p.replicas is None), "")
    return f"FailedGet{failed}Metric" if failed else ASLEEP
