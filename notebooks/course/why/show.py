"""An explanation as JSON, for programs. The keys are promised (CHANGELOG.md); new ones may be added."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from course.hpa.decision import Decision
from course.hpa.proposal import Proposal
from course.why.explain import Explanation
from course.why.snapshot import pod_counts


def to_json(found: Explanation, *, namespace: str) -> dict[str, Any]:
    """One explanation; amounts are as Kubernetes shows them, utilization in per cent."""
    return {
        "at": datetime.fromtimestamp(found.at, UTC).isoformat(timespec="milliseconds"),
        "namespace": namespace,
        "object": found.about,
        "from": found.before,
        "to": found.after,
        "reason": found.reason,
        "why": found.why,
        "source": found.source,
        "unknown": list(found.unknown),
        "fix": found.fix,
        **(_stages(found.decision) if found.decision else {}),
    }


def _stages(decision: Decision) -> dict[str, Any]:
    return {
        "metrics": [_metric(proposal) for proposal in decision.proposals],
        "proposed": decision.proposed,
        "stabilized": None if decision.proposed is None else decision.stabilized.replicas,
        "limited": None if decision.proposed is None else decision.limited.replicas,
    }


def _metric(proposal: Proposal) -> dict[str, Any]:
    target = proposal.target
    scale = 1 if target.kind == "Utilization" else 1000
    known = proposal.replicas is not None
    return {
        "type": target.source,
        "name": target.name,
        "target": target.amount / scale,
        "targetType": target.kind,
        "value": proposal.usage / scale if known else None,
        "proposes": proposal.replicas,
        "heldBy": proposal.held,
        "failure": proposal.failure,
        "pods": pod_counts(proposal),
    }
