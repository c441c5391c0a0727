"""Notebook 11's checks of what KEDA's figures mean: what is divided by what, and which clock decides.

Pure. A run on a machine that was too busy is inconclusive, not wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from course.checks.keda import AGAIN, MADE, SCALED
from labkit.checks.check import Check, Finding, first_that_holds, nothing_yet, number, numbers
from labkit.checks.words import one_of
from labkit.evidence import Timeline
from labkit.evidence.quantity import plainly
from localcluster.api import JsonLike
from localcluster.api.objects import dig

PODS, WAITING, THRESHOLD = 4, 20, 5
SUM = PODS * WAITING
COMBINATIONS = {
    "sum_average": math.ceil(SUM / THRESHOLD),
    "avg_value": math.ceil(PODS * WAITING / THRESHOLD),
    "avg_average": math.ceil(WAITING / THRESHOLD),
    "sum_value": math.ceil(PODS * SUM / THRESHOLD),
}
"""What each query with each type of target asks for."""
QUIET = 250.0
"""Lab seconds: of the 300 some may be missing, since KEDA rounds to whole real seconds."""
CLOSE = 20.0
"""Lab seconds by which a moment may be read differently."""


def twice(sum_average: Any, avg_value: Any, avg_average: Any, sum_value: Any) -> Finding:
    """Four combinations of query and target, for four pods with 20 waiting in each."""
    said = {
        "sum_average": sum_average,
        "avg_value": avg_value,
        "avg_average": avg_average,
        "sum_value": sum_value,
    }
    given = numbers(said.values())
    if given is None:
        return Finding(passed=False, observed=f"you say {plainly(said)}", hint="Answer with four numbers.")
    wrong = [name for name, value in zip(said, given, strict=True) if value != COMBINATIONS[name]]
    hints = {
        "sum_average": "sum_average: all 80 waiting requests, divided by 5 for each pod.",
        "avg_value": "avg_value: the average is 20, four times the target; and there are four pods.",
        "avg_average": "avg_average: the query returns 20, and AverageValue divides that by the target.",
        "sum_value": "sum_value: 80 is 16 times the target, and Value multiplies the ready pods.",
    }
    bounded = any(value in {2, 10} for value in given)
    hint = hints[wrong[0]] + (" Before any maximum." if bounded else "") if wrong else ""
    return Finding(passed=not wrong, observed=f"you say {plainly(said)}", hint=hint)


def once(hpa: JsonLike | None, scaled: JsonLike | None) -> Finding:
    """The trigger still asks for the average, and nothing divides it again."""
    query = str(dig(scaled, "spec.triggers.0.metadata.query") or "")
    target = dig(hpa, "spec.metrics.0.external.target") or {}
    if not hpa or not scaled:
        return nothing_yet("there is no ScaledObject, or no HPA of it", AGAIN)
    kind = str(target.get("type"))
    value = str(target.get("value") or target.get("averageValue"))
    hint = first_that_holds(
        (value != "5", "The threshold is still five for each pod."),
        (
            not query.strip(" (").startswith("avg") and kind == "AverageValue",
            "A sum is right, too. The exercise asks to keep the average: what must not divide it then?",
        ),
        (not query.strip(" (").startswith("avg"), "A sum against Value runs away. Keep the average."),
        (kind == "AverageValue", "AverageValue divides by the pods. Which other metricType is there?"),
    )
    return Finding(passed=not hint, observed=f"{query} against {kind} {value}", hint=hint)


def initial_cooldown(timeline: Timeline) -> Finding:
    """From two servers to none, and not before five minutes have passed."""
    desired = timeline.one("desired")
    none = desired.first(lambda count: count == 0)
    if not desired.points or desired.points[0][1] < 1:
        return nothing_yet("the recording does not begin with servers", AGAIN)
    if none is None:
        return nothing_yet("the last pod was not taken away within the recording", AGAIN)
    passed = none >= QUIET
    hint = first_that_holds(
        (passed, ""),
        (none < 60, "At once: cooldownPeriod counts from the last activity, and there was none."),
        (True, "It waited, but not for five minutes: how many seconds does the file say?"),
    )
    return Finding(passed=passed, observed=f"none after {none:.0f} lab seconds", hint=hint)


LOOPS = {"KEDA": ("keda", "operator"), "HPA": ("hpa",)}


def two_loops(wakes: Any, grows: Any, waited: Any, slow: Timeline, quick: Timeline) -> Finding:
    """KEDA wakes at its own pace, the HPA does the rest; the seconds that the first order waited."""
    first = _first(slow)
    if first is None or _first(quick) is None:
        return nothing_yet("a recording does not go from none to one to three after its orders", AGAIN)
    said = number(waited)
    hint = first_that_holds(
        (
            one_of(wakes, LOOPS) != "KEDA",
            "wakes: an HPA with 0 replicas is switched off. What looks at the trigger every pollingInterval?",
        ),
        (
            one_of(grows, LOOPS) != "HPA",
            "grows: kubectl events --for=scaledobject/… tells of 0 → 1 only. What syncs every 15 s?",
        ),
        (said is None, "waited is a number of lab seconds."),
        (
            said is not None and abs(said - first) > CLOSE and abs(said * slow.clock - first) <= CLOSE * 2,
            "waited: that is in real seconds. How many lab seconds?",
        ),
        (
            said is not None and abs(said - first) > CLOSE,
            "waited: from slow.events[0].at to the first moment with one replica.",
        ),
    )
    observed = f"0 → 1 by {wakes}, 1 → 3 by {grows}, after {plainly(waited)} s"
    return Finding(passed=not hint, observed=observed, hint=hint)


def _first(run: Timeline) -> float | None:
    """Lab seconds from the orders to the first replica; None if it did not go from none to three."""
    desired = run.one("desired")
    if not run.events or not desired.points or desired.points[0][1] != 0:
        return None
    one, three = desired.first(lambda count: count >= 1), desired.first(lambda count: count >= 3)
    return None if one is None or three is None else one - run.events[0].at


CHECKS: Sequence[Check] = (
    Check(
        "11.twice",
        "how many replicas each of the four combinations asks for, with four pods and 20 waiting in each",
        "AverageValue: query / threshold. Value: ready pods × query / threshold.",
        twice,
        answers=("sum_average", "avg_value", "avg_average", "sum_value"),
        copying=False,
        rows=(6,),
    ),
    Check(
        "11.twice-mended",
        "the trigger asks for the average of the queues, and the HPA does not divide it again",
        "metricType says how the HPA compares what the query returns.",
        once,
        {"hpa": MADE, "scaled": SCALED},
        settles=True,
        rows=(6,),
    ),
    Check(
        "11.initial-cooldown",
        "from two servers to none, five minutes after the ScaledObject was made",
        "KEDA's documentation lists two periods of cooling down. Which one counts before any activity?",
        initial_cooldown,
        rows=(6,),
    ),
    Check(
        "11.two-loops",
        "who changes 0 to 1, who 1 to 3, and how many seconds the first order waited in the slow run",
        "Look at the two steps in the plot: which of the two periods fits which?",
        two_loops,
        answers=("wakes", "grows", "waited"),
        copying=True,
        rows=(6,),
    ),
)
