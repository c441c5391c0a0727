"""The API server's refusals in full: its own words first, then the likely cause and the fix.

Pure: from an HTTP status and the `Status` object to an error. Refuses to paraphrase: what the server said
stands in the message word for word, since that is what learners will meet in production.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from labkit.errors import ClusterError, Refused


@dataclass(frozen=True)
class Advice:
    """What usually stands behind a message that matches `pattern`."""

    pattern: str
    cause: str
    fix: str


ADVICE = (
    Advice(
        r"limits\[?.*nvidia\.com/.*must be an integer",
        "A GPU is an extended resource: the scheduler counts it in whole units and knows no half.",
        "Ask for 1. To share one GPU, the node must offer slices of it (MIG) or time slicing.",
    ),
    Advice(
        r"must be equal to \S+ limit",
        "An extended resource can't be overcommitted, so its request and its limit must be the same.",
        "Give the limit only (the request follows it), or set both to the same number.",
    ),
    Advice(
        r"Limit must be set for non overcommitable resources",
        "A GPU stands under `requests` but not under `limits`.",
        "Put it under `limits`; the request follows it.",
    ),
    Advice(
        r"selector:.*field is immutable|field is immutable",
        "Some fields (a Deployment's selector, for one) can't change after the object was made.",
        "Delete the object and apply it again, or give it another name.",
    ),
    Advice(
        r"`selector` does not match template `labels`",
        "The Deployment would not find its own pods.",
        "Make `spec.selector.matchLabels` and `spec.template.metadata.labels` say the same.",
    ),
    Advice(
        r"violates PodSecurity",
        "The namespace enforces a Pod Security level that this pod does not keep to.",
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
        "The namespace is on its way out and takes nothing new.",
        "Wait until it is gone, then create it again.",
    ),
    Advice(
        r"must be greater than or equal to `minReplicas`",
        "The HPA may never have fewer pods at most than at least.",
        "Raise `maxReplicas` or lower `minReplicas`.",
    ),
    Advice(
        r"expected numeric .* got string",
        "A number stands in quotes.",
        "Take the quotes away.",
    ),
    Advice(
        r"cannot unmarshal number|expected string",
        "A value that must be text looks like a number to YAML.",
        'Put it in quotes, like cpu: "4".',
    ),
)

UNKNOWN_FIELD = re.compile(r"(?:^|\s)(\.\S+): field not declared in schema|unknown field \"([^\"]+)\"")
_TYPED_PATCH = "failed to create typed patch object"


def refusal(status: int, body: str, *, what: str) -> ClusterError:
    """The error for an HTTP answer of 400 or more; 5xx is no refusal, but for one kind (see below)."""
    answer = _status(body)
    message = str(answer.get("message") or body.strip() or f"HTTP {status}")
    reason = str(answer.get("reason") or "")
    # Server-side apply answers 500 to an unknown field or a wrong type. It is the manifest that is wrong.
    if _TYPED_PATCH in message:
        status, reason = 422, "UnknownField" if unknown_fields(message) else "WrongType"
    if status >= 500:
        return ClusterError(
            f"{what} failed (HTTP {status}): {message}",
            cause="The API server, or the service behind this API, has a problem of its own.",
            fix="`labkit logs kube-apiserver` and `labkit status` show more; it may pass within seconds.",
        )
    advice = advise(message, reason=reason)
    return Refused(message, reason=reason or _REASONS.get(status, ""), cause=advice.cause, fix=advice.fix)


def advise(message: str, *, reason: str = "") -> Advice:
    """The first advice that fits what the server said; empty words where none does."""
    for advice in ADVICE:
        if re.search(advice.pattern, message, re.DOTALL):
            return advice
    return _BY_REASON.get(reason, Advice("", "", ""))


def unknown_fields(message: str) -> list[str]:
    """The paths of fields that the schema does not know, as the server wrote them, without a leading dot."""
    return [(a or b).lstrip(".") for a, b in UNKNOWN_FIELD.findall(message)]


_REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict"}

_BY_REASON = {
    "UnknownField": Advice("", "A typo, or a field in the wrong place (indentation).", ""),
    "WrongType": Advice("", "A value of the wrong type: text for a number, or a list for a mapping.", ""),
    "NotFound": Advice("", "It was never made, is gone already, or is in another namespace.", ""),
    "Unauthorized": Advice(
        "", "The API server does not know this user.", "Use the kubeconfig that `labkit up` wrote."
    ),
    "Forbidden": Advice("", "This user may not do that.", "`kubectl auth can-i --list` shows what it may."),
    "AlreadyExists": Advice("", "An object of this kind and name is there already.", "Apply instead."),
}


def _status(body: str) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
