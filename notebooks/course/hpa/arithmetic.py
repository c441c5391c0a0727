"""One decision of the HorizontalPodAutoscaler, recomputed: every step of it, and why.

>>> hpa = Policy.of(yaml.safe_load(open("manifests/base/hpa.yaml")))     # doctest: +SKIP
>>> decide(hpa, queues([50, 50]))[0].why                                 # doctest: +SKIP
'2 → 4: vllm_request_queue_size is 50 per pod against a target of 5, which asks for 20; without a …'

The documented algorithm of Kubernetes 1.37, as pure functions: the same inputs give the same decision, and
the controller's memory is a value that is passed in and returned. It reads no cluster, and scales nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from course.hpa.decision import Decision
from course.hpa.limits import History, ScaleProposal, StageResult, bound, limit, remember, stabilize
from course.hpa.policy import Controller, Policy
from course.hpa.proposal import Proposal, propose
from course.hpa.readings import Look, Pod, Reading, Sample

PRODUCTION = Controller()


def decide(
    policy: Policy, look: Look, history: History | None = None, *, controller: Controller = PRODUCTION
) -> tuple[Decision, History]:
    """What the controller does at this sync, and what it remembers afterwards."""
    if look.unreadable:
        return _unchanged(policy, look, (), failure=look.unreadable), history or History()
    history = (history or History()).begun(at=look.at, current=look.current)
    forced = _without_metrics(policy, look)
    if forced is not None:
        return forced, _after(forced, history)
    proposals = propose(policy, look, controller)
    asked = _highest(proposals)
    failures = [p.failure for p in proposals if p.replicas is None]
    # With one broken metric, replicas must not be removed: the others can only add some.
    if asked is None or (failures and asked < look.current):
        return _unchanged(policy, look, proposals, failure=failures[0]), history
    proposal = ScaleProposal(look.at, look.current, asked)
    stable = stabilize(policy, controller, history, proposal)
    limited = limit(policy, history, proposal, wanted=stable.replicas)
    final = _bounded(policy, look, limited)
    decision = Decision(
        look=look,
        policy=policy,
        proposals=proposals,
        raw=next(p.raw for p in proposals if p.replicas == asked),
        proposed=asked,
        stabilized=stable,
        limited=limited,
        desired=final.replicas,
        bounded=final.by,
        failure=failures[0] if failures else "",
    )
    return decision, _after(decision, remember(policy, controller, history, proposal))


def queues(
    waiting: Iterable[float], *, current: int | None = None, at: float = 0.0, pending: int = 0
) -> Look:
    """A look at pods with these numbers of waiting requests, and optionally some still pending.

    >>> queues([12, 7, 1]).current
    3
    """
    numbers = list(waiting)
    pods = [Pod(f"pod-{i}") for i in range(len(numbers))]
    samples = {p.name: Sample(round(n * 1000)) for p, n in zip(pods, numbers, strict=True)}
    pods += [Pod(f"pending-{i}", phase="Pending", ready="False", started=None) for i in range(pending)]
    return Look(at, len(pods) if current is None else current, tuple(pods), (Reading(samples),))


def _highest(proposals: Iterable[Proposal]) -> int | None:
    return max((p.replicas for p in proposals if p.replicas is not None), default=None)


def _without_metrics(policy: Policy, look: Look) -> Decision | None:
    """The cases in which the bounds alone decide, or nothing does: no metric is even read."""
    if look.current == 0:
        wakes = look.scaled_to_zero and (policy.minimum != 0 or policy.reads_from_outside)
        failure = "" if wakes else "the target was scaled to zero by hand, which switches the HPA off"
        return None if wakes else _unchanged(policy, look, (), failure=failure)
    final = bound(policy, wanted=look.current)
    if not final.by:
        return None
    none = StageResult(look.current)
    return Decision(look, policy, (), None, None, none, none, final.replicas, bounded=final.by)


def _unchanged(policy: Policy, look: Look, proposals: tuple[Proposal, ...], *, failure: str) -> Decision:
    none = StageResult(look.current)
    return Decision(look, policy, proposals, None, None, none, none, look.current, failure=failure)


def _bounded(policy: Policy, look: Look, limited: StageResult) -> StageResult:
    # A Deployment that sleeps at zero stays there while its metric asks for nothing.
    if look.current == 0 and limited.replicas == 0 and policy.minimum == 0:
        return StageResult(0)
    return bound(policy, wanted=limited.replicas, rate=limited.by)


def _after(decision: Decision, history: History) -> History:
    change = decision.desired - decision.current
    return history.rescaled(at=decision.look.at, change=change, behavior=decision.policy.behavior)
