"""What an explanation could not know, and which of it matters for the decision at hand. Pure.

An answer from outside is never complete: the controller's memory and its flags are in no API.
"""

from __future__ import annotations

from collections.abc import Iterator

from course.hpa.decision import Decision
from course.hpa.limits import windows
from course.hpa.policy import Policy
from course.hpa.proposal import Proposal
from course.why.explain import STATUS, Case
from course.why.flags import Flags

NEAR = 0.1
"""Beyond the tolerance by less than this, another tolerance would have changed the decision."""


def unknown(case: Case, decision: Decision, source: str, *, flags: Flags, watched: float) -> Iterator[str]:
    """What was not known, for one decision; `watched` is for how many seconds the HPA has been followed."""
    yield from dict.fromkeys(note for seen in case.seen[-1:] for note in seen.notes)
    if source == STATUS and case.told.computed:
        yield "what each pod measured: the figures are the averages in the HPA's status"
    if not flags.known:
        yield from _flags(case, decision)
    yield from _past(case, decision, watched)


def _flags(case: Case, decision: Decision) -> Iterator[str]:
    controller, policy = case.controller, case.policy
    if any(_near(proposal, policy, case) for proposal in decision.proposals):
        yield f"the controller's flag for the tolerance (taken as {controller.tolerance:g})"
    if _by_flag(policy) and (decision.stabilized.by or decision.desired < decision.current):
        seconds = controller.downscale_stabilization
        yield f"the controller's flag for the downscale stabilization (taken as {seconds:g} s)"
    if any(_of_cpu(p) and (p.groups.pending or p.groups.missing) for p in decision.proposals):
        yield (
            "the controller's flags for starting pods (taken as "
            f"{controller.cpu_initialization:g} s of CPU initialization, {controller.readiness_delay:g} s "
            "of readiness delay)"
        )
    if decision.current == 0:
        yield "whether the feature gate HPAScaleToZero is on"


def _past(case: Case, decision: Decision, watched: float) -> Iterator[str]:
    behavior = case.policy.behavior
    down = case.controller.downscale_stabilization
    if behavior is not None:
        down = max(windows(behavior, case.controller))
    held = decision.stabilized.by or decision.desired < decision.current
    if held and decision.proposed is not None and watched < down:
        yield (
            f"the recommendations before this command began: it has seen {watched:.0f} s "
            f"of a window of {down:g} s"
        )
    longest = max(behavior.up.longest, behavior.down.longest) if behavior else 0
    if decision.limited.by and watched < longest:
        yield f"changes of replicas before this command began, within the policies' {longest} s"


def _near(proposal: Proposal, policy: Policy, case: Case) -> bool:
    """Whether the tolerance of a flag decided, or almost did."""
    if proposal.replicas is None or _own(policy, up=proposal.ratio >= 1):
        return False
    ratio = proposal.ratio if proposal.filled is None else proposal.filled
    return proposal.held == "tolerance" or 0 < abs(ratio - 1) < case.controller.tolerance + NEAR


def _own(policy: Policy, *, up: bool) -> bool:
    """Whether the HPA itself says its tolerance in this direction."""
    if policy.behavior is None:
        return False
    return (policy.behavior.up if up else policy.behavior.down).tolerance is not None


def _by_flag(policy: Policy) -> bool:
    return policy.behavior is None or policy.behavior.down.window is None


def _of_cpu(proposal: Proposal) -> bool:
    return proposal.target.source in {"Resource", "ContainerResource"} and proposal.target.name == "cpu"
