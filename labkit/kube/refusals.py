"""The API server's refusals in full: its own words first, then the likely cause and the fix.

Never paraphrases: the message has what the server said word for word, since that is what learners will meet
in production.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.errors import ClusterError, Refused
from localcluster.api import fixed, refusals


@dataclass(frozen=True)
class Advice:
    """The usual cause of a message that matches `pattern`."""

    pattern: str
    cause: str
    fix: str


ADVICE = (
    Advice(
        r"limits\[?.*nvidia\.com/.*must be an integer",
        "A GPU is an extended resource: the scheduler counts it in whole units, never in fractions.",
        "Ask for 1. To share one GPU, the node must offer slices of it (MIG) or time slicing.",
    ),
    Advice(
        r"must be a standard resource",
        "The name of an extended resource contains a domain; this name has none.",
        "Write the whole name, as `kubectl describe node` shows it under Allocatable.",
    ),
    Advice(
        r"must be equal to \S+ limit",
        "An extended resource can't be overcommitted, so its request and its limit must be the same.",
        "Make the two numbers the same.",
    ),
    Advice(
        r"Limit must be set for non overcommitable resources",
        "A GPU is listed under `requests` but not under `limits`.",
        "Put it under `limits`; the request then defaults to it.",
    ),
    Advice(
        r"`selector` does not match template `labels`",
        "The Deployment would not find its own pods.",
        "Make `spec.selector.matchLabels` and `spec.template.metadata.labels` say the same.",
    ),
    Advice(
        r"violates PodSecurity",
        "The namespace enforces a Pod Security level that this pod does not meet.",
        "Change the fields that the message names, or use another namespace.",
    ),
    Advice(
        r"exceeded quota",
        "The namespace has a ResourceQuota, and this would go over it.",
        "`kubectl describe quota` shows what is used; ask for less or free some.",
    ),
    Advice(
        r"namespaces .* not found",
        "The namespace does not exist (yet).",
        "Create it first; labkit makes its own with `ensure_namespace`.",
    ),
    Advice(
        r"is being terminated",
        "The namespace is being deleted and accepts no new objects.",
        "Wait until it is gone, then create it again.",
    ),
    Advice(
        r"must be greater than or equal to `minReplicas`",
        "The maximum number of pods can't be lower than the minimum.",
        "Raise `maxReplicas` or lower `minReplicas`.",
    ),
    Advice(
        r"must specify a positive target averageValue",
        "A metric of type `Pods` is averaged over the pods, so its target has only one form.",
        "Give the target as `averageValue`, with `type: AverageValue`.",
    ),
    Advice(
        r"must populate information for the given metric source",
        "`type` names one kind of metric, but the block below it belongs to another.",
        "Make both the same: type `Pods` goes with a block `pods`, `Resource` with `resource`.",
    ),
    Advice(
        r"scaleTargetRef\.apiVersion.*must specify API group",
        "What an HPA scales is named with its group: Deployments are not in the core API.",
        "Write the Deployment's own apiVersion (`kubectl api-resources` lists it).",
    ),
    Advice(
        r"quantities must match the regular expression",
        "A quantity is a number with a unit behind it, such as 5, 500m or 16Gi.",
        "Write the number in digits.",
    ),
    Advice(
        r"expected numeric .* got string",
        "This value is text: it has quotes around it, or contains a unit or a word.",
        "Write the bare number, without quotes and without a unit.",
    ),
    Advice(
        r"cannot convert float64 to int",
        "This field takes whole numbers only, not decimals.",
        "Round it.",
    ),
    Advice(
        r"cannot unmarshal number|expected string",
        "A value that must be text looks like a number to YAML.",
        'Put it in quotes, like cpu: "4".',
    ),
)


def refusal(status: int, body: str, *, what: str) -> ClusterError:
    """The error for an HTTP status of 400 or more, with advice if it is a refusal."""
    error = refusals.refusal(status, body, what=what)
    if not isinstance(error, Refused):
        return error
    if fixed.is_fixed(error.what):
        return immutable(error.what)
    advice = advise(error.what, reason=error.reason)
    return Refused(error.what, reason=error.reason, cause=advice.cause, fix=advice.fix)


def immutable(message: str, *, elsewhere: str = "") -> Refused:
    """The refusal to change an immutable field; the comparison that the server adds is in `details`."""
    short = fixed.brief(message)
    return Refused(
        short,
        reason="Invalid",
        cause="This field can't be changed once the object exists, and it exists already.",
        fix=fixed.way_out(message, elsewhere=elsewhere),
        details="" if short == message.strip() else message,
    )


def advise(message: str, *, reason: str = "") -> Advice:
    """The first advice that matches the server's message; empty if none does."""
    for advice in ADVICE:
        if re.search(advice.pattern, message, re.DOTALL):
            return advice
    return _BY_REASON.get(reason, Advice("", "", ""))


_BY_REASON = {
    "UnknownField": Advice("", "A typo, or a field in the wrong place (indentation).", ""),
    "WrongType": Advice("", "A value of the wrong type: text for a number, or a list for a mapping.", ""),
    "NotFound": Advice("", "It was never created, was already deleted, or is in another namespace.", ""),
    "Unauthorized": Advice(
        "", "The API server does not know this user.", "Use the kubeconfig that `labkit up` wrote."
    ),
    "Forbidden": Advice(
        "", "This user may not do that.", "`kubectl auth can-i --list` shows what it may do."
    ),
    "AlreadyExists": Advice("", "An object of this kind and name exists already.", "Apply instead."),
}
