"""The check of notebook 05 on the NetworkPolicy that cuts Prometheus off: the hop, and the mended policy.

The policy itself is judged, and what the metrics API says: so it also holds where nothing enforces policies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from course.checks.hpa_queue_faults import blames
from labkit.checks.check import Check, Finding, nothing_yet
from localcluster.api.objects import dig
from localcluster.api.selectors import matches
from localcluster.node.policy import reading
from localcluster.node.policy.reading import INGRESS, Policy, Ports, Selected

POLICY = "only-ours"
METRIC = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/llm-lab/pods/*/vllm_request_queue_size"
SERVERS = {"app": "llm-model"}
NAME = "kubernetes.io/metadata.name"
OURS, PROMETHEUS, OTHERS = "llm-lab", "monitoring", "default"
LABELS = {OURS: SERVERS, PROMETHEUS: {"app": "prometheus"}, OTHERS: {"app": "other"}}
"""The labels of a pod in each of these namespaces."""

ASKS = "The page can be read, but not by everyone. Which part reads it on the metric's way, and can't?"
UNREAD = "Compare its fields with `kubectl explain networkpolicy.spec.ingress.from`."
OPEN = "More than two namespaces get in: by a rule without `from`, an empty namespaceSelector, or addresses?"
NOT_ISOLATED = "Its podSelector must mean the servers, and policyTypes must contain Ingress."
NOT_OURS = (
    "In one item of `from`, podSelector and namespaceSelector must both hold. Two items are two ways in."
)
NOT_PROMETHEUS = (
    "A podSelector alone means pods of the policy's own namespace. For another one, add an item with a "
    "namespaceSelector: `kubectl get namespaces --show-labels` shows by which label."
)
NOT_BACK = "Prometheus tries again with its next scrape, in 15 lab seconds. Is the file applied as it is now?"


def policy(
    answer: Any,
    policy: Mapping[str, Any] | None,
    pods: Sequence[Mapping[str, Any]] | None,
    metric: Mapping[str, Any] | None,
) -> Finding:
    """The hop is `scrape`; the policy lets in two namespaces only; each ready server's queue is known."""
    hop = blames("scrape", ASKS)(answer)
    if not hop.passed:
        return hop
    if not policy:
        hint = "Isolation was the point: keep the policy, and change whom it lets in. Run the cell above."
        return Finding(passed=False, observed=f"there is no networkpolicy/{POLICY}", hint=hint)
    found = _wrong(reading.read({**policy, "metadata": {"name": POLICY, "namespace": OURS}}))
    return found or _served(pods, metric or {})


def _wrong(found: Policy) -> Finding | None:
    """What the policy gets wrong; None if it is right."""
    if found.fault:
        return Finding(passed=False, observed=found.fault, hint=UNREAD)
    if not found.selects_pod(OURS, SERVERS) or INGRESS not in found.rules:
        return Finding(passed=False, observed=f"{POLICY} does not isolate the servers", hint=NOT_ISOLATED)
    enter = [namespace for namespace in LABELS if _lets_in(found, namespace)]
    observed = f"of the namespaces {', '.join(LABELS)}, {POLICY} lets in: {', '.join(enter) or 'none'}"
    for namespace, hint in ((OURS, NOT_OURS), (PROMETHEUS, NOT_PROMETHEUS)):
        if namespace not in enter:
            return Finding(passed=False, observed=observed, hint=hint)
    return Finding(passed=False, observed=observed, hint=OPEN) if OTHERS in enter else None


def _lets_in(found: Policy, namespace: str) -> bool:
    """Whether a pod of that namespace reaches the servers' port."""
    rules = [rule for rule in found.rules[INGRESS] if not rule.ports or any(map(_is_http, rule.ports))]
    return any(
        rule.peers is None or any(not isinstance(p, Selected) or _means(p, namespace) for p in rule.peers)
        for rule in rules
    )


def _is_http(ports: Ports) -> bool:
    if ports.protocol != "tcp" or isinstance(ports.first, str):
        return ports.protocol == "tcp" and ports.first == "http"
    return ports.first is None or ports.first <= 8000 <= (ports.last or ports.first)


def _means(peer: Selected, namespace: str) -> bool:
    inside = namespace == OURS if peer.namespaces is None else matches(peer.namespaces, {NAME: namespace})
    return inside and matches(peer.pods, LABELS[namespace])


def _served(pods: Sequence[Mapping[str, Any]] | None, metric: Mapping[str, Any]) -> Finding:
    """Each ready server has a value in the custom metrics API."""
    ready = [str(dig(pod, "metadata.name")) for pod in pods or () if _ready(pod)]
    if not ready:
        return nothing_yet("no server is ready", "Wait for the servers: run the cell above again.")
    known = {dig(item, "describedObject.name") for item in metric.get("items") or ()}
    lacking = [name for name in ready if name not in known]
    told = f"the metrics API has the queue of {len(ready) - len(lacking)} of {len(ready)} ready servers"
    return Finding(passed=not lacking, observed=told, hint=NOT_BACK if lacking else "")


def _ready(pod: Mapping[str, Any]) -> bool:
    conditions = {c["type"]: c["status"] for c in dig(pod, "status.conditions") or ()}
    mine = (dig(pod, "metadata.labels") or {}).items() >= SERVERS.items()
    return mine and conditions.get("Ready") == "True" and not dig(pod, "metadata.deletionTimestamp")


CHECKS: Sequence[Check] = (
    Check(
        "05.policy",
        f"the hop that it breaks; {POLICY} lets in the namespaces {OURS} and {PROMETHEUS}, and nobody else",
        ASKS,
        policy,
        {"policy": f"networkpolicy/{POLICY}", "pods": "pods", "metric": METRIC},
        answers=("answer",),
        copying=True,
        settles=True,
        rows=(6,),
    ),
)
