"""Checks of notebook 06 on the learner's own policy: what it serves, what it costs, and how it behaves.

Pure. Refuses to pass a policy on a day that was not recorded to its end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import fmean
from typing import Any

from course.checks.tuning import Modelled, Point, of_model, path, turns, unless_starved
from labkit import course
from labkit.checks.check import AS_IT_IS, Check, Figure, Finding, first_that_holds, nothing_yet
from labkit.errors import BadInput
from labkit.evidence import Bill, Timeline
from labkit.evidence.quantity import plainly
from localcluster.api.objects import dig

GOAL, BUDGET = 0.80, 3000.0
"""Of the ramp: share in time that the learner's HPA must reach, and GPU-seconds that it may take."""

CLOSE_COST, CLOSE_POINTS = 0.15, 0.12  # one run against the model: wider than means over five seeds
STUDY, TRACE, POLICIES = "cluster/study.json", "trace", ("static", "CPU", "queue")
DAY = 300.0  # lab seconds: shorter than any day of the study
LONGEST_WINDOW = 3600.0  # lab seconds: the longest stabilization that Kubernetes allows
AGAIN = "Run the trial with your file again, to the end of the day."


def predicted(plays: Sequence[Modelled]) -> Point:
    """The model's average for one file; refuses plays that differ in more than their random seed."""
    asked = [replace(play.scenario, seed=0) for play in plays]
    if len({play.scenario.seed for play in plays}) < len(plays) or any(one != asked[0] for one in asked):
        raise BadInput(
            "These model runs are not of one policy and load, each with its own seed.", fix=AS_IT_IS
        )
    points = [of_model(play) for play in plays]
    return fmean(cost for cost, _ in points), fmean(share for _, share in points)


def shares() -> dict[str, float]:
    """Each policy's share in time on the code trace, over all seeds of the course's study."""
    runs = json.loads(course.existing(STUDY).read_text())["runs"]
    kept = {
        policy: [
            run["kept"] / run["requests"] for run in runs if (run["load"], run["policy"]) == (TRACE, policy)
        ]
        for policy in POLICIES
    }
    return {policy: fmean(parts) for policy, parts in kept.items()}


def model(predicted: Point, bill: Bill) -> Finding:
    """The what-if model's prediction before the run is close to what the cluster did."""
    if not bill.requests:
        return nothing_yet("this bill is for a day without requests", "Run the trial with your file again.")
    cost, share = predicted
    off, points = (cost - bill.gpu_seconds) / max(bill.gpu_seconds, 1), share - bill.attainment
    observed = f"GPU-seconds {off:+.0%}, in time {100 * points:+.0f} points off"
    return unless_starved(abs(off) <= CLOSE_COST and abs(points) <= CLOSE_POINTS, observed, bill)


def bounds(timeline: Timeline, hpa: Mapping[str, Any] | None) -> Finding:
    """Never over maxReplicas and never under minReplicas, at any moment of the run."""
    least, most = dig(hpa, "spec.minReplicas"), dig(hpa, "spec.maxReplicas")
    values = [v for _, v in timeline.one("desired").points]
    if least is None or most is None:
        return nothing_yet("there is no hpa/llm-hpa", AGAIN)
    if not values or timeline.end() < DAY:
        return nothing_yet(f"the recording is {timeline.end():.0f} lab seconds long", AGAIN)
    observed = f"desired from {min(values):g} to {max(values):g}; the HPA allows {least} to {most}"
    ready = timeline.one("ready").peak() or 0
    hint = first_that_holds(
        (
            min(values) < least,
            ("Fewer than minReplicas: did the run begin before they were all there? Did you scale by hand?"),
        ),
        (max(values) > most, "More than maxReplicas: what else set the number of replicas during the run?"),
        (ready > most, "More were ready than it allows: pods of an earlier run, or of another Deployment?"),
    )
    return Finding(passed=not hint, observed=observed, hint=hint)


def calm(timeline: Timeline) -> Finding:
    """Out and in again: one turn at most, and at least one step."""
    desired = timeline.one("desired")
    if not desired.points or timeline.end() < DAY:
        return nothing_yet(f"the recording is {timeline.end():.0f} lab seconds long", AGAIN)
    seen, moved = turns(desired), len(desired.steps()) > 1
    hint = first_that_holds(
        (not moved, "It never moved, so this shows nothing. Does the HPA see the queue?"),
        (
            seen > 1,
            "What keeps a briefly empty queue from removing servers? Look at behavior.scaleDown.",
        ),
    )
    return Finding(passed=not hint, observed=f"desired {path(desired)}: {seen} turns", hint=hint)


def settled(timeline: Timeline, hpa: Mapping[str, Any] | None) -> Finding:
    """After the drain: down to minReplicas without a step up, and as many are ready."""
    desired, ready, least = timeline.one("desired"), timeline.one("ready"), dig(hpa, "spec.minReplicas")
    again = "Run again from the trial with your file, and wait until it is back at minReplicas."
    if not desired.points or least is None:
        return nothing_yet("there is no HPA, or nothing was recorded", again)
    observed = f"desired {path(desired)}, {ready.last() or 0:g} ready at the end; minReplicas is {least}"
    down = all(after <= before for (_, before), (_, after) in pairwise(desired.points))
    home = desired.last() == ready.last() == least
    if down and not home and timeline.end() < LONGEST_WINDOW:
        return nothing_yet(f"{observed}; the recording ends too early", again)
    hint = first_that_holds(
        (not down, "It scaled out once more. Is a load still running after the day is over?"),
        (desired.last() != least, "It does not return to minReplicas: is scaleDown disabled?"),
        (not home, "The HPA is back at minReplicas, but the pods are not: see lab.show('pods')."),
    )
    return Finding(passed=not hint, observed=observed, hint=hint)


def attainment(bill: Bill) -> Finding:
    """Enough users were served in time."""
    if not bill.requests:
        return nothing_yet("this bill is for a day without requests", "Run the trial with your file again.")
    hint = "No request was in time: does your HPA read its metric? See lab.show('hpa/llm-hpa')."
    hint = "" if bill.kept else hint
    return unless_starved(bill.attainment >= GOAL, str(bill), bill, hint=hint)


def cost(bill: Bill) -> Finding:
    """Within the budget. A starved machine never lowers the cost, so this is always judged."""
    if not bill.gpu_seconds:
        return nothing_yet("no GPU was held", "Run the trial with your file again.")
    return Finding(passed=bill.gpu_seconds <= BUDGET, observed=str(bill))


def trace(answer: Any, shares: Mapping[str, float]) -> Finding:
    """Which policy kept the most promises on the code trace, over all seeds of the study."""
    if not shares:
        return nothing_yet("the study's runs were not read", "Run the cell with journal.stored() again.")
    best, said = max(shares, key=lambda name: shares[name]), str(answer).strip()
    hint = first_that_holds(
        (said == best, ""),
        (said not in shares, f"Answer with one name, as a string: {', '.join(shares)}."),
        (
            said == min(shares, key=lambda name: shares[name]),
            "That one keeps the fewest. Read the rows with load `trace`.",
        ),
        (True, "Another one keeps more. Read only the rows with load `trace`, column `in time`."),
    )
    return Finding(passed=said == best, observed=f"you say {plainly(answer)}", hint=hint)


CHECKS: Sequence[Check] = (
    Check(
        "06.model",
        "the model's GPU-seconds within 15 %, its share in time within 12 points of the cluster's",
        "Was the model asked about the same file, the same day and the same seed as the cluster?",
        model,
        figures={"predicted": Figure(of=("plays",), by=predicted)},
    ),
    Check(
        "06.bounds",
        "desired stays between minReplicas and maxReplicas, from the first moment to the last",
        "What else set the number of replicas during the run?",
        bounds,
        {"hpa": "hpa/llm-hpa"},
        rows=(6,),
    ),
    Check(
        "06.calm",
        "out, and in again: desired turns once at most",
        "What keeps a briefly empty queue from removing servers? Look at behavior.scaleDown.",
        calm,
        rows=(6,),
    ),
    Check(
        "06.settled",
        "without users: only downwards, to minReplicas, and exactly that many servers are ready",
        "Record until hpa/llm-hpa says desired=minReplicas, and the terminating pods are gone.",
        settled,
        {"hpa": "hpa/llm-hpa"},
        rows=(6,),
    ),
    Check(
        "06.attainment",
        "on the ramp, at least 80 % of the requests get their first token within 10 s",
        "Try your file with hpa.what_if first. Does it react too late, or too weakly?",
        attainment,
    ),
    Check(
        "06.cost",
        "on the ramp, at most 3,000 GPU-seconds: what five static servers cost all day",
        "How many GPUs does it hold at most? And how many does it keep, for how long, when they are idle?",
        cost,
    ),
    Check(
        "06.trace",
        "the policy that keeps the most promises on the code trace",
        "See the table of the study, load `trace`, column `in time`.",
        trace,
        answers=("answer",),
        copying=True,
        figures={"shares": Figure(of=(), by=shares)},
    ),
)
