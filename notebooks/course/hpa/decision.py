"""The record of one decision, and its reason as one sentence: what was measured, what held it back.

It guesses nothing: it says only what is in the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from course.hpa.limits import StageResult
from course.hpa.policy import Behavior, Policy, Rules, Target
from course.hpa.proposal import Proposal
from course.hpa.readings import Look


@dataclass(frozen=True)
class Decision:
    """One sync: what was seen, the result of each stage, and the reason as a sentence.

    `raw` is the plain arithmetic of the metric that won, `proposed` comes after tolerance, missing and
    pending pods; both are None if no metric was queried or none could be computed. `stabilized`, `limited`
    and `desired` are the stages after it. `failure` says why metrics could not decide.
    """

    look: Look
    policy: Policy
    proposals: tuple[Proposal, ...]
    raw: int | None
    proposed: int | None
    stabilized: StageResult
    limited: StageResult
    desired: int
    bounded: str = ""
    failure: str = ""

    @property
    def current(self) -> int:
        """The replicas at the time."""
        return self.look.current

    @property
    def scales(self) -> bool:
        """Whether it changes the replicas."""
        return self.desired != self.current

    @property
    def winner(self) -> Proposal | None:
        """The metric that asks for most; None if none counted."""
        return next((p for p in self.proposals if p.replicas == self.proposed), None)

    @property
    def why(self) -> str:
        """Why it did, or did not, scale: one sentence."""
        if self.look.unreadable:
            return f"Does nothing: {self.look.unreadable}."
        head = f"{self.current} → {self.desired}" if self.scales else f"Stays at {self.current}"
        return f"{head}: {_because(self)}."


def _because(decision: Decision) -> str:
    if decision.proposed is None:
        return _unasked(decision)
    winner = decision.winner
    assert winner is not None
    parts = [_measured(winner), *_stages(decision)]
    if len(decision.proposals) > 1:
        parts.insert(0, f"the highest of {len(decision.proposals)} metrics counts")
    if decision.failure:
        parts.append(f"another metric could not be read ({decision.failure}), so it may only scale up")
    return "; ".join(parts)


def _unasked(decision: Decision) -> str:
    bounds = {
        "TooManyReplicas": f"maxReplicas is {decision.policy.maximum}, whatever the metrics say",
        "TooFewReplicas": f"minReplicas is {decision.policy.minimum}, whatever the metrics say",
    }
    if decision.bounded:
        return bounds[decision.bounded]
    if not decision.proposals:
        return decision.failure
    broken = next(p for p in decision.proposals if p.replicas is None)
    others = ", and while one metric is unknown the others may not scale down"
    known = any(p.replicas is not None for p in decision.proposals)
    return f"{broken.target.name} could not be computed ({broken.failure}){others if known else ''}"


def _measured(proposal: Proposal) -> str:
    target = proposal.target
    each = f" {_each(target)}" if target.kind != "Value" else ""
    seen = f"{target.name} is {amount(target, proposal.usage)}{each}"
    goal, rest = amount(target, target.amount), _filled(proposal)
    aside = f" ({rest})" if rest else ""
    if proposal.held == "tolerance":
        near = "" if proposal.filled is None else f" ({proposal.filled:.3g} times the target with {rest})"
        return f"{seen}{near}, within the tolerance around the target of {goal}"
    if proposal.held == "direction":
        with_rest = f" with {rest}" if rest else ""
        return (
            f"{seen} against a target of {goal}, but{with_rest} it would change direction, so nothing changes"
        )
    return f"{seen} against a target of {goal}, which asks for {proposal.replicas}{aside}"


def _each(target: Target) -> str:
    return "of the request" if target.kind == "Utilization" else "per pod"


def amount(target: Target, value: int) -> str:
    """An amount of a metric in words: thousandths as a number, utilization in percent."""
    return f"{value} %" if target.kind == "Utilization" else f"{value / 1000:.6g}"


def _filled(proposal: Proposal) -> str:
    """How pods without a number were counted."""
    if proposal.filled is None:
        return ""
    up = proposal.ratio > 1.0
    groups = proposal.groups
    said = []
    if groups.missing:
        value = "0" if up else "fully used"
        said.append(f"{_pods(groups.missing)} without a number counted as {value}")
    if up and groups.pending:
        said.append(f"{_pods(groups.pending)} pending counted as 0")
    return " and ".join(said)


def _pods(names: Sequence[str]) -> str:
    return "1 pod" if len(names) == 1 else f"{len(names)} pods"


def _stages(decision: Decision) -> list[str]:
    """What held the proposal back, stage by stage; empty if nothing did."""
    said = []
    if decision.stabilized.by:
        which = "higher" if decision.stabilized.replicas > (decision.proposed or 0) else "lower"
        said.append(f"a recent recommendation was {which}, so {decision.stabilized.replicas} counts")
    # If both apply, the tighter one is the reason: a bound comes last, so it is the bound.
    if decision.limited.by and not decision.bounded:
        said.append(f"{_rate(decision)} allows {decision.limited.replicas} now")
    if decision.bounded:
        name = "maxReplicas" if decision.bounded == "TooManyReplicas" else "minReplicas"
        said.append(f"{name} makes it {decision.desired}")
    return said


def _rate(decision: Decision) -> str:
    behavior = decision.policy.behavior
    if behavior is None:
        return f"without a behavior one sync goes up to max(2 × {decision.current}, 4), which"
    return _rules(behavior, up=decision.limited.by == "ScaleUpLimit")


def _rules(behavior: Behavior, *, up: bool) -> str:
    rules: Rules = behavior.up if up else behavior.down
    name = "scaleUp" if up else "scaleDown"
    if rules.select == "Disabled":
        return f"behavior.{name} is disabled and"
    steps = [f"{s.value}{' %' if s.kind == 'Percent' else ' pods'} in {s.period} s" for s in rules.steps]
    word = " and " if rules.select == "Min" else " or "
    return f"behavior.{name} ({word.join(steps)})"
