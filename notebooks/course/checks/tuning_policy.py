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
AGAIN = "Run the trial of your file again, to the end of the day."


def predicted(plays: Sequence[Modelled]) -> Point:
    """The model's average for one file; refuses plays that differ in more than their random seed."""
    asked = [replace(play.scenario, seed=0) for play in plays]
    if len({play.scenario.seed for play in plays}) < len(plays) or any(one != asked[0] for one in asked):
        raise BadInput(
            "These plays are not of one policy under one load, each with its own luck.", fix=AS_IT_IS
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
        return nothing_yet("this bill is of a day without requests", "Run the trial of your file again.")
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
            ("Fewer than minReplicas: had the run begun before as many were there? Or did somebody scale?"),
        ),
        (max(values) > most, "More than maxReplicas: who else set the number of replicas while the day ran?"),
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
        (not moved, "It never moved: with nothing to do, nobody flaps. Does it see the queue?"),
        (
            seen > 1,
            "What keeps a low queue of one moment from taking servers away? Look at behavior.scaleDown.",
        ),
    )
    return Finding(passed=not hint, observed=f"desired {path(desired)}: {seen} turns", hint=hint)


def settled(timeline: Timeline, hpa: Mapping[str, Any] | None) -> Finding:
    """After the drain: down to minReplicas without a step up, and as many are ready."""
    desired, ready, least = timeline.one("desired"), timeline.one("ready"), dig(hpa, "spec.minReplicas")
    again = "Run the cells again from the trial of your file on, and wait until it has come home."
    if not desired.points or least is None:
        return nothing_yet("no HPA, or nothing was recorded", again)
    observed = f"desired {path(desired)}, ready at last {ready.last() or 0:g}; minReplicas is {least}"
    down = all(after <= before for (_, before), (_, after) in pairwise(desired.points))
    home = desired.last() == ready.last() == least
    if down and not home and timeline.end() < LONGEST_WINDOW:
        return nothing_yet(f"{observed}; the recording ends too early", again)
    hint = first_that_holds(
        (not down, "It stepped up once more. Who asks after the day is over: a load that still runs?"),
        (desired.last() != least, "It does not come home: what holds it, a scaleDown that is disabled?"),
        (not home, "The HPA is home, the pods are not: lab.show('pods')."),
    )
    return Finding(passed=not hint, observed=observed, hint=hint)


def attainment(bill: Bill) -> Finding:
    """Enough users were served in time."""
    if not bill.requests:
        return nothing_yet("this bill is of a day without requests", "Run the trial of your file again.")
    hint = "Nobody at all: does your HPA read its metric? lab.show('hpa/llm-hpa')." if not bill.kept else ""
    return unless_starved(bill.attainment >= GOAL, str(bill), bill, hint=hint)


def cost(bill: Bill) -> Finding:
    """Within the budget. A starved machine never lowers the cost, so this is always judged."""
    if not bill.gpu_seconds:
        return nothing_yet("no GPU was held", "Run the trial of your file again.")
    return Finding(passed=bill.gpu_seconds <= BUDGET, observed=str(bill))


def trace(answer: Any, shares: Mapping[str, float]) -> Finding:
    """Which policy kept the most promises on the code trace, over all seeds of the study."""
    if not shares:
        return nothing_yet("the study's runs were not read", "Run the cell with journal.stored() again.")
    best, said = max(shares, key=lambda name: shares[name]), str(answer).strip()
    hint = first_that_holds(
        (said == best, ""),
        (said not in shares, f"One name, as a text: {', '.join(shares)}."),
        (
            said == min(shares, key=lambda name: shares[name]),
            "That one keeps the fewest. Read the rows of load `trace`.",
        ),
        (True, "Another one keeps more. Read the rows of load `trace` only, column `in time`."),
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
        "Who else set the number of replicas while the day ran?",
        bounds,
        {"hpa": "hpa/llm-hpa"},
        rows=(6,),
    ),
    Check(
        "06.calm",
        "out, and in again: desired turns once at most",
        "What keeps a low queue of one moment from taking servers away? Look at behavior.scaleDown.",
        calm,
        rows=(6,),
    ),
    Check(
        "06.settled",
        "with nobody there: only downwards, to minReplicas, and as many servers are ready",
        "Record until hpa/llm-hpa says desired=minReplicas, and the leaving pods are gone.",
        settled,
        {"hpa": "hpa/llm-hpa"},
        rows=(6,),
    ),
    Check(
        "06.attainment",
        "on the ramp, at least 80 % of the requests get their first token within 10 s",
        "Ask hpa.what_if about your file first. Does it begin to react too late, or with too little?",
        attainment,
    ),
    Check(
        "06.cost",
        "on the ramp, at most 3,000 GPU-seconds: what five servers take that are held all day",
        "What does it hold, and for how long, after it is needed? And how many at most?",
        cost,
    ),
    Check(
        "06.trace",
        "the policy that keeps most promises on the code trace",
        "The table of the study, load `trace`, column `in time`.",
        trace,
        answers=("answer",),
        figures={"shares": Figure(of=(), by=shares)},
    ),
)
