"""Checks of notebook 06: what waiting less costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from labkit.checks.check import Check, Finding, called, dig, number, numbers
from labkit.evidence import Bill, Series, Timeline
from labkit.evidence.quantity import plainly

Point = tuple[float, float]
"""(GPU-seconds, share of the requests in time)"""

GOAL, BUDGET = 0.80, 3000.0
"""Of the ramp: share in time that the learner's HPA must reach, and GPU-seconds that it may take."""

NEEDED = 5  # replicas: 3 requests per second, of which one server answers 0.62
CLOSE_COST, CLOSE_POINTS = 0.15, 0.12  # one run against the model: wider than means over five seeds
CLOSE_CURVE = 3.0  # replicas, on average over the run

CASES: tuple[tuple[list[Point], list[Point]], ...] = (
    ([(100, 0.5), (200, 0.4), (300, 0.9)], [(100, 0.5), (300, 0.9)]),
    ([(300, 0.9), (100, 0.5), (300, 0.8), (400, 0.9)], [(100, 0.5), (300, 0.9)]),
    ([(100, 0.2), (200, 0.6), (300, 0.7)], [(100, 0.2), (200, 0.6), (300, 0.7)]),
    ([(500, 0.1)], [(500, 0.1)]),
)


def order(answer: Any, bills: Mapping[str, Bill]) -> Finding:
    """The policies from the fewest promises kept to the most, as the bills have them."""
    seen = sorted(bills, key=lambda name: bills[name].attainment)
    told = ", ".join(f"{name}: {bills[name].attainment:.0%}" for name in seen)
    said = [str(name) for name in answer] if isinstance(answer, (list, tuple)) else None
    return _unless_starved(said == seen, f"you say {plainly(answer)}; {told}", *bills.values())


def by_hand(answer: Any, bill: Bill) -> Finding:
    """Share in time and GPU-seconds, worked out from the recording by the learner."""
    said = numbers(answer)
    observed = f"you say {plainly(answer)}, the bill says ({bill.attainment:.3f}, {bill.gpu_seconds:.0f})"
    if said is None or len(said) != 2:
        return Finding(passed=False, observed=observed, hint="Two numbers: (share from 0 to 1, GPU-seconds).")
    share, cost = said
    near = abs(share - bill.attainment) <= 0.02 and abs(cost - bill.gpu_seconds) <= 0.03 * bill.gpu_seconds
    return Finding(passed=near, observed=observed)


def too_late(answer: Any, timeline: Timeline) -> Finding:
    """Lab seconds from the first event (the burst) to the first server more that is ready."""
    seen = first_help(timeline)
    if seen is None:
        observed = "no event was marked, or no server joined"
        return Finding(passed=False, observed=observed, inconclusive=True)
    said = number(answer)
    near = said is not None and abs(said - seen) <= 10
    return Finding(
        passed=near, observed=f"you say {plainly(answer)}, the recording says {seen:.0f} lab seconds"
    )


def overshoot(answer: Any, timeline: Timeline) -> Finding:
    """How many servers the peak needs, and how many were asked for."""
    said, most = numbers(answer), timeline.one("desired").peak()
    observed = f"you say {plainly(answer)}; the HPA asked for {most or 0:g}"
    if most is None:
        return Finding(passed=False, observed="nothing was recorded", inconclusive=True)
    hint = "Requests per second at the peak, over requests per second of one server, rounded up."
    return Finding(passed=said == [NEEDED, most], observed=observed, hint=hint)


def target(answer: Any, asked: Mapping[int, Point]) -> Finding:
    """Which of the targets keeps most promises, and which costs least, of those that the model was asked."""
    best = max(asked, key=lambda t: asked[t][1])
    cheapest = min(asked, key=lambda t: asked[t][0])
    told = "; ".join(f"{t}: {share:.0%} for {cost:,.0f} GPU s" for t, (cost, share) in asked.items())
    return Finding(passed=numbers(answer) == [best, cheapest], observed=f"you say {plainly(answer)}; {told}")


def curve(answer: Any, timeline: Timeline) -> Finding:
    """A predicted course of the replicas, near to what happened on average."""
    points, desired = _points(answer), timeline.one("desired")
    if not desired.points:
        return Finding(passed=False, observed="nothing was recorded", inconclusive=True)
    if len(points) < 3:
        hint = "A list such as [(0, 2), (200, 4), …]: lab seconds and replicas, three points or more."
        return Finding(passed=False, observed=f"{answer!r} is no curve", hint=hint)
    apart = Series("", "", points).apart(desired, timeline.end())
    return Finding(passed=apart <= CLOSE_CURVE, observed=f"{apart:.1f} replicas off on average")


def flapping(answer: Any, timeline: Timeline) -> Finding:
    """How often the HPA turned round, with no window; it must have, or there is nothing to see."""
    seen = turns(timeline.one("desired"))
    observed = f"you say {plainly(answer)}; desired {_path(timeline.one('desired'))} turns {seen} times"
    if seen < 2:
        return Finding(passed=False, observed=observed, inconclusive=True)
    return Finding(passed=number(answer) == seen, observed=observed)


def frontier(frontier: Any) -> Finding:
    """The learner's own function, tried on points with a known frontier."""
    if not callable(frontier):
        return Finding(passed=False, observed=f"{frontier!r} is not a function")
    for points, wanted in CASES:
        got = called(frontier, list(points))
        if _sorted(got) != wanted:
            return Finding(passed=False, observed=f"frontier({points}) gave {got} instead of {wanted}")
    return Finding(passed=True, observed=f"right for {len(CASES)} of {len(CASES)} cases")


def model(predicted: Point, bill: Bill) -> Finding:
    """What the what-if model said before the run, near to what the cluster did."""
    cost, share = predicted
    off, points = (cost - bill.gpu_seconds) / max(bill.gpu_seconds, 1), share - bill.attainment
    observed = f"GPU-seconds {off:+.0%}, in time {100 * points:+.0f} points off"
    return _unless_starved(abs(off) <= CLOSE_COST and abs(points) <= CLOSE_POINTS, observed, bill)


def bounds(timeline: Timeline, hpa: Mapping[str, Any] | None) -> Finding:
    """Never over maxReplicas and never under minReplicas, at any moment of the run."""
    least, most = dig(hpa, "spec.minReplicas"), dig(hpa, "spec.maxReplicas")
    values = [v for _, v in timeline.one("desired").points]
    if not values or least is None or most is None:
        return Finding(passed=False, observed="no HPA, or nothing was recorded", inconclusive=True)
    observed = f"desired from {min(values):g} to {max(values):g}; the HPA allows {least} to {most}"
    ready = timeline.one("ready").peak() or 0
    within = least <= min(values) and max(*values, ready) <= most
    return Finding(passed=within, observed=observed)


def calm(timeline: Timeline) -> Finding:
    """Out, and in again: one turn at most, and at least one step."""
    desired = timeline.one("desired")
    if not desired.points:
        return Finding(passed=False, observed="nothing was recorded", inconclusive=True)
    seen = turns(desired)
    moved = len(desired.steps()) > 1
    hint = "" if moved else "It never moved: with nothing to do, nobody flaps. Does it see the queue?"
    observed = f"desired {_path(desired)}: {seen} turns"
    return Finding(passed=moved and seen <= 1, observed=observed, hint=hint)


def settled(timeline: Timeline, hpa: Mapping[str, Any] | None) -> Finding:
    """After the drain: down to minReplicas without a step up, and as many are ready."""
    desired, ready, least = timeline.one("desired"), timeline.one("ready"), dig(hpa, "spec.minReplicas")
    if not desired.points or least is None:
        return Finding(passed=False, observed="no HPA, or nothing was recorded", inconclusive=True)
    observed = f"desired {_path(desired)}, ready at last {ready.last() or 0:g}; minReplicas is {least}"
    down = all(after <= before for (_, before), (_, after) in pairwise(desired.points))
    return Finding(passed=down and desired.last() == ready.last() == least, observed=observed)


def attainment(bill: Bill) -> Finding:
    """Enough users were served in time."""
    return _unless_starved(bill.attainment >= GOAL, str(bill), bill)


def cost(bill: Bill) -> Finding:
    """Within the budget. A starved machine makes nothing cheaper, so this is always judged."""
    return Finding(passed=0 < bill.gpu_seconds <= BUDGET, observed=str(bill))


def trace(answer: Any, shares: Mapping[str, float]) -> Finding:
    """Which policy kept most promises on the code trace, over all seeds of the study."""
    best = max(shares, key=lambda name: shares[name])
    told = ", ".join(f"{name}: {share:.0%}" for name, share in shares.items())
    return Finding(passed=str(answer).strip() == best, observed=f"you say {plainly(answer)}; {told}")


def turns(desired: Series) -> int:
    """How often a series changed its direction."""
    steps = [after - before for (_, before), (_, after) in pairwise(desired.steps())]
    return sum(one * other < 0 for one, other in pairwise(steps))


def first_help(timeline: Timeline) -> float | None:
    """Lab seconds from the first event to the first rise of `ready` after it."""
    if not timeline.events:
        return None
    began = timeline.events[0].at
    before = timeline.one("ready").at(began)
    rose = None if before is None else timeline.one("ready").first(lambda v: v > before, after=began)
    return None if rose is None else rose - began


def _unless_starved(good: bool, observed: str, *bills: Bill) -> Finding:  # noqa: FBT001 - the verdict itself
    """What was measured on a starved machine proves no failure."""
    doubts = [doubt for bill in bills for doubt in bill.doubts]
    if doubts and not good:
        return Finding(passed=False, observed="; ".join([observed, *doubts]), inconclusive=True)
    return Finding(passed=good, observed=observed)


def _points(answer: Any) -> tuple[Point, ...]:
    try:
        return tuple(sorted((float(at), float(value)) for at, value in answer))
    except (TypeError, ValueError):
        return ()


def _sorted(answer: Any) -> list[Point] | None:
    points = _points(answer)
    return list(points) or None


def _path(series: Series) -> str:
    return " → ".join(f"{v:g}" for _, v in series.steps()) or "never seen"


CHECKS: Sequence[Check] = (
    Check(
        "06.order",
        "the three policies, from the fewest answers in time to the most, as the table has them",
        "Read the column of shares, not that of GPU-seconds.",
        order,
        rows=(5,),
    ),
    Check(
        "06.bill",
        "(share of the requests with a first token in time, GPU-seconds), from the recording",
        "Count the rows whose ttft is at most the promise; add the series gpus up over the day: .area(…).",
        by_hand,
    ),
    Check(
        "06.too-late",
        "lab seconds from the burst (the first event) to the first server more that is ready, within 10",
        "run.events[0].at is the one moment; run.one('ready') rises at the other.",
        too_late,
        rows=(10,),
    ),
    Check(
        "06.overshoot",
        "(servers that 3 requests per second need, servers that the HPA asked for at most)",
        "One server answers 0.62 requests per second (notebook 03).",
        overshoot,
        rows=(10,),
    ),
    Check(
        "06.target",
        "(the target that keeps most promises, the target that costs least)",
        "Look at each column of the table by itself.",
        target,
        rows=(6,),
    ),
    Check(
        "06.curve",
        "your course of the replicas lies at most 3 replicas off, on average",
        "When does the load pass what two servers can do? What does an HPA without a window do at each lull?",
        curve,
    ),
    Check(
        "06.flapping",
        "how often desired changed its direction in the run without a window",
        "run.one('desired').steps(): count where up is followed by down, or down by up.",
        flapping,
    ),
    Check(
        "06.frontier",
        "the points that no other one beats in both: cheaper or as cheap, and as good or better",
        "Sort by GPU-seconds. Which point is worth its price, seen from the left?",
        frontier,
    ),
    Check(
        "06.model",
        "the model's GPU-seconds within 15 %, its share in time within 12 points of the cluster's",
        "Was the model asked about the same file, the same day and the same seed as the cluster?",
        model,
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
        "Ask lab.what_if about your file first. Does it begin to react too late, or with too little?",
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
    ),
)
