"""Checks of notebook 06: the cost of shorter waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

from labkit.checks.check import (
    AS_IT_IS,
    Check,
    Figure,
    Finding,
    first_that_holds,
    nothing_yet,
    number,
    numbers,
)
from labkit.checks.tried import Case, Tried
from labkit.errors import BadInput
from labkit.evidence import Bill, Series, Timeline, bill
from labkit.evidence.quantity import plainly
from labkit.load.results import LoadResult

Point = tuple[float, float]
"""(GPU-seconds, share of the requests in time)"""


class Modelled(Protocol):
    """The what-if model's result and its question (`course.hpa.simulator.Outcome`)."""

    @property
    def scenario(self) -> Any:
        """The policy, the load, and the random seed."""

    @property
    def gpu_seconds(self) -> float:
        """How long GPUs were held."""

    def attainment(self, *, ttft: float) -> float:
        """Share of the requests whose first token came in time."""


TTFT = 10.0  # lab seconds: the ramp's TTFT promise
NEEDED = 5  # replicas: 3 requests per second, and one server answers 0.62
NEAR = 10.0  # lab seconds
CLOSE_CURVE = 3.0  # replicas, on average over the run

CASES: tuple[Case, ...] = (
    (([(100, 0.5), (200, 0.4), (300, 0.9)],), [(100, 0.5), (300, 0.9)]),
    (([(300, 0.9), (100, 0.5), (300, 0.8), (400, 0.9)],), [(100, 0.5), (300, 0.9)]),
    (([(100, 0.2), (200, 0.6), (300, 0.7)],), [(100, 0.2), (200, 0.6), (300, 0.7)]),
    (([(500, 0.1)],), [(500, 0.1)]),
)


def order(answer: Any, bills: Mapping[str, Bill]) -> Finding:
    """The policies from fewest to most promises kept, according to the bills."""
    if not bills or not all(bill.requests for bill in bills.values()):
        return nothing_yet(
            "a bill is for a day without requests", "Run the cell with the three trials again."
        )
    seen = sorted(bills, key=lambda name: bills[name].attainment)
    said = [str(name) for name in answer] if isinstance(answer, (list, tuple)) else []
    hint = first_that_holds(
        (said == seen, ""),
        (sorted(said) != sorted(seen), f"List all three names, as in the table: {', '.join(bills)}."),
        (said == seen[::-1], "That is from the most to the fewest. Start with the fewest."),
        (
            said == sorted(bills, key=lambda name: bills[name].gpu_seconds),
            "That is their order by GPU-seconds.",
        ),
        (True, "Read the column of shares, row by row: which is the smallest?"),
    )
    return unless_starved(said == seen, f"you say {plainly(answer)}", *bills.values(), hint=hint)


@runtime_checkable
class Ran(Protocol):
    """A policy's run (`course.study.trial.Trial`)."""

    @property
    def run(self) -> Timeline:
        """The recording."""

    @property
    def load(self) -> LoadResult:
        """What the load test measured."""

    @property
    def bill(self) -> Bill:
        """The bill that the notebook shows."""


def half(trial: Ran) -> Bill:
    """The bill of half the day for half the promise: the notebook shows it nowhere."""
    whole = trial.bill
    return bill(trial.run, trial.load, ttft=whole.ttft / 2, seconds=whole.seconds / 2)


def by_hand(answer: Any, bill: Bill) -> Finding:
    """Share in time and GPU-seconds, computed by the learner from the recording."""
    if not bill.requests or not bill.gpu_seconds:
        return nothing_yet(
            "this bill is for a day without requests or GPUs", "Run the cell with the trials again."
        )
    said, observed = numbers(answer), f"you say {plainly(answer)}"
    if said is None or len(said) != 2:
        return Finding(
            passed=False, observed=observed, hint="Answer with two numbers: (share from 0 to 1, GPU-seconds)."
        )
    share, cost = said
    right = abs(share - bill.attainment) <= 0.02, abs(cost - bill.gpu_seconds) <= 0.03 * bill.gpu_seconds
    hint = first_that_holds(
        (all(right), ""),
        (abs(cost - bill.attainment) <= 0.02, "The other way round: first the share, then the GPU-seconds."),
        (abs(share - 100 * bill.attainment) <= 2, "As a share from 0 to 1: 0.5 is one half."),
        (
            not right[0] and share > bill.attainment,
            "The share is too large: half the promise, and requests without a first token count, too.",
        ),
        (
            not right[0],
            "The share is too small: in time means at most half of BURST.ttft, and all requests count.",
        ),
        (
            cost > bill.gpu_seconds,
            "Too many GPU-seconds: half a day, and the area counts each GPU only while it was held.",
        ),
        (True, "Too few GPU-seconds: does the area reach from lab second 0 to half of BURST.seconds?"),
    )
    return Finding(passed=all(right), observed=observed, hint=hint)


def too_late(answer: Any, timeline: Timeline) -> Finding:
    """Lab seconds from the first event (the burst) until one more server is ready."""
    seen = first_help(timeline)
    if seen is None:
        return nothing_yet("no event was marked, or no server joined", "Run the trial with the queue again.")
    said, began = number(answer), timeline.events[0].at
    asked = timeline.one("desired").first(lambda v: v > (timeline.one("desired").at(began) or 0), after=began)

    def near(moment: float | None) -> bool:
        return said is not None and moment is not None and abs(said - moment) <= NEAR

    hint = first_that_holds(
        (near(seen), ""),
        (said is None, "Answer with one number, in lab seconds."),
        (
            near(None if asked is None else asked - began),
            "That is when it was *requested*. When was it ready to help?",
        ),
        (near(seen + began), "That is counted from lab second 0. The burst began later."),
        (near(-seen), "The right moments, in the wrong order: take the later one minus the earlier one."),
        (near(began), "That is when the burst began. How long after that was one more server ready?"),
    )
    return Finding(passed=near(seen), observed=f"you say {plainly(answer)} lab seconds", hint=hint)


def overshoot(answer: Any, timeline: Timeline) -> Finding:
    """How many servers the peak needs, and how many were asked for."""
    said, most = numbers(answer), timeline.one("desired").peak()
    if most is None or most <= 2:
        return nothing_yet(
            "in this recording the HPA never asked for more", "Run the trial with the queue again."
        )
    right = said == [NEEDED, most]
    hint = first_that_holds(
        (right, ""),
        (said is None or len(said) != 2, "Two numbers: (servers that the burst needs, servers asked for)."),
        (said == [most, NEEDED], "The other way round: first what is needed."),
        (
            (said or [0.0])[0] == NEEDED,
            "The second one: what is the highest step of `desired` in the plot?",
        ),
        (
            (said or [0.0])[0] == NEEDED - 1,
            "Four servers answer 2.5 per second, but 3 come.",
        ),
        (True, "The first one: how many servers together answer as many requests per second as arrive?"),
    )
    return Finding(passed=right, observed=f"you say {plainly(answer)}", hint=hint)


def of_model(outcome: Modelled) -> Point:
    """The model's result for a policy on the ramp."""
    return outcome.gpu_seconds, outcome.attainment(ttft=TTFT)


def by_target(outcomes: Mapping[int, Modelled]) -> dict[int, Point]:
    """The model's result for each target; refuses policies that differ in anything else."""
    asked = [(one.scenario.requests, one.scenario.policy.with_target(1)) for one in outcomes.values()]
    own = [one.scenario.policy == one.scenario.policy.with_target(t) for t, one in outcomes.items()]
    if not all(own) or any(one != asked[0] for one in asked):
        raise BadInput("These results are not from one policy and one load, target by target.", fix=AS_IT_IS)
    return {t: of_model(outcome) for t, outcome in outcomes.items()}


def target(answer: Any, asked: Mapping[int, Point]) -> Finding:
    """Which of the targets tried in the model keeps the most promises, and which costs least."""
    if not asked:
        return nothing_yet("the model was not asked", "Run the cell with hpa.what_if again.")
    best = max(asked, key=lambda t: asked[t][1])
    cheapest = min(asked, key=lambda t: asked[t][0])
    said = numbers(answer)
    hint = first_that_holds(
        (said == [best, cheapest], ""),
        (
            said is None or len(said) != 2,
            f"Give two of the targets, such as ({', '.join(map(str, list(asked)[:2]))}).",
        ),
        (said == [cheapest, best], "The other way round: first the one that serves the most in time."),
        (
            said is not None and not set(said) <= set(asked),
            "Give targets, from the first column; not shares or costs.",
        ),
        ((said or [0.0])[0] != best, "The first one: which row has the largest share?"),
        (True, "The second one: which row has the fewest GPU-seconds?"),
    )
    return Finding(passed=not hint, observed=f"you say {plainly(answer)}", hint=hint)


def curve(answer: Any, timeline: Timeline) -> Finding:
    """A predicted replica curve that is close, on average, to what happened."""
    points, desired = _points(answer), timeline.one("desired")
    if not desired.points or len(desired.steps()) < 2:
        return nothing_yet(
            "in this recording the replicas never changed", "Run the trial without a window again."
        )
    if len(points) < 3:
        hint = "Give a list such as [(0, 2), (200, 4), …]: lab seconds and replicas, three points or more."
        return Finding(passed=False, observed=f"{answer!r} is not a curve", hint=hint)
    apart = Series("", "", points).apart(desired, timeline.end())
    late, high = points[-1][0] < timeline.end() / 3, max(v for _, v in points)
    hint = first_that_holds(
        (apart <= CLOSE_CURVE, ""),
        (
            late,
            (
                "It ends early, so its last value counts for the rest of the day. In lab "
                "seconds the ramp takes ten minutes."
            ),
        ),
        (high > 10, "There can't be more than maxReplicas: did you swap seconds and replicas?"),
        (
            len({v for _, v in points}) == 1,
            "Your curve stays level: what does the HPA do as the load rises and falls?",
        ),
    )
    return Finding(passed=apart <= CLOSE_CURVE, observed=f"{apart:.1f} replicas off on average", hint=hint)


def flapping(answer: Any, timeline: Timeline) -> Finding:
    """How often the HPA changed direction without a window; it must have, or there is nothing to see."""
    desired = timeline.one("desired")
    seen, said = turns(desired), number(answer)
    if seen < 2:
        again = "That can happen by chance. Run the trial without a window again."
        return nothing_yet(f"in this recording desired turned {seen} times", again)
    moves = len(desired.steps()) - 1
    hint = first_that_holds(
        (said == seen, ""),
        (said is None, "Answer with one number."),
        (
            said in {moves, moves + 1},
            "Those are all its moves. A turn is where up is followed by down, or down by up.",
        ),
        (said is not None and said > seen, "Too many: two moves in the same direction are not a turn."),
        (True, "Too few: look at the small dips, too, and at the way down at the end."),
    )
    return Finding(passed=said == seen, observed=f"you say {plainly(answer)}", hint=hint)


def frontier(frontier: Any) -> Finding:
    """The learner's own function, tried on points with a known frontier."""
    if not isinstance(frontier, Tried):
        hint = "Pass the function itself, without parentheses: frontier=frontier."
        return Finding(passed=False, observed=f"{frontier!r} is not a function", hint=hint)
    for call in frontier.calls:
        if _sorted(call.got) != call.wanted:
            shown = "nothing yet: it still contains `...`" if call.got is ... else call.got
            observed = f"frontier({call.given[0]}) gave {shown}"
            return Finding(passed=False, observed=observed, hint=_beaten(call.got, call.wanted))
    return Finding(passed=True, observed=frontier.cases)


def _beaten(got: Any, wanted: list[Point]) -> str:
    """Which point should have been dropped or kept, and the point to compare it with."""
    kept = _points(got)
    if got is None or isinstance(got, str):
        return (
            "It returns nothing: does it end with `return kept`?"
            if got is None
            else "It stopped with that error."
        )
    if not kept:
        return "" if got is ... else "It returns no points: return a list of (GPU-seconds, share)."
    for cost, share in kept:
        better = [w for w in wanted if w != (cost, share) and w[0] <= cost and w[1] >= share]
        if better:
            return f"{(cost, share)} is kept, but {better[0]} costs no more and serves no fewer."
    missing = next((w for w in wanted if w not in kept), wanted[0])
    return f"{missing} is missing, but no other point beats it."


def turns(desired: Series) -> int:
    """How often a series changed direction."""
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


def unless_starved(good: bool, observed: str, *bills: Bill, hint: str = "") -> Finding:  # noqa: FBT001 - the verdict itself
    """Measurements on a starved machine don't prove a failure."""
    doubts = [doubt for bill in bills for doubt in bill.doubts]
    if doubts and not good:
        again = "The machine was too busy: close what else runs on it, and run the trial again."
        return Finding(passed=False, observed="; ".join([observed, *doubts]), hint=again, inconclusive=True)
    return Finding(passed=good, observed=observed, hint=hint)


def _points(answer: Any) -> tuple[Point, ...]:
    try:
        return tuple(sorted((float(at), float(value)) for at, value in answer))
    except (TypeError, ValueError):
        return ()


def _sorted(answer: Any) -> list[Point] | None:
    points = _points(answer)
    return list(points) or None


def path(series: Series) -> str:
    """The values that a series went through."""
    return " → ".join(f"{v:g}" for _, v in series.steps()) or "never seen"


CHECKS: Sequence[Check] = (
    Check(
        "06.order",
        "the three policies, from the fewest answers in time to the most, as the table has them",
        "Read the column of shares, not the one of GPU-seconds.",
        order,
        answers=("answer",),
        copying=True,
        rows=(5,),
    ),
    Check(
        "06.bill",
        "(share of the requests with a first token in half the promise, GPU-seconds of half the day)",
        "Count the rows whose ttft is at most half of BURST.ttft; add up the series gpus: .area(0, …).",
        by_hand,
        answers=("answer",),
        copying=False,
        figures={"bill": Figure(of=("trial",), by=half)},
    ),
    Check(
        "06.too-late",
        "lab seconds from the burst (the first event) until one more server is ready, within 10",
        "run.events[0].at is one moment; run.one('ready') rises at the other.",
        too_late,
        answers=("answer",),
        copying=False,
        rows=(10,),
    ),
    Check(
        "06.overshoot",
        "(servers that 3 requests per second need, servers that the HPA asked for at most)",
        "One server answers 0.62 requests per second (notebook 03).",
        overshoot,
        answers=("answer",),
        copying=False,
        rows=(10,),
    ),
    Check(
        "06.target",
        "(the target that keeps the most promises, the target that costs least)",
        "Look at each column of the table by itself.",
        target,
        answers=("answer",),
        copying=True,
        figures={"asked": Figure(of=("outcomes",), by=by_target)},
        rows=(6,),
    ),
    Check(
        "06.curve",
        "your replica curve is at most 3 replicas off, on average",
        "When is the load more than two servers can do? What does an HPA without a window do at each lull?",
        curve,
        answers=("answer",),
        copying=True,
    ),
    Check(
        "06.flapping",
        "how often desired changed direction in the run without a window",
        "run.one('desired').steps(): count where up is followed by down, or down by up.",
        flapping,
        answers=("answer",),
        copying=False,
    ),
    Check(
        "06.frontier",
        "the points that no other point beats: none is as cheap or cheaper, and as good or better",
        "Sort by GPU-seconds. Going from left to right, which points are worth their higher price?",
        frontier,
        answers=("frontier",),
        copying=False,
        cases={"frontier": CASES},
    ),
)
