"""Checks of notebook 03: how many users one GPU can serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from labkit.checks.check import Check, Finding, called, dig, number
from labkit.evidence import plainly
from labkit.evidence.queueing import LoadPoint, load_point
from labkit.load.results import LoadResult

BATCH = "--max-num-seqs"
LARGE = 64
FULL = 0.95  # share of the KV cache in use: from here on no new sequence fits
OVERLOAD = 1.1  # offered over answered; less may be an answer more or less in a short run
CLIMBS = 2.0  # the last third waits more than this many times as long as the first

# (TTFT goal in lab seconds, answers per lab second, waiting requests that may stand before you)
CASES: tuple[tuple[float, float, int], ...] = (
    (10, 0.617, 5),
    (5, 0.617, 2),
    (20, 0.617, 11),
    (10, 1.235, 11),
    (1, 0.617, 0),
)


def capacity(answer: Any, capacity: float) -> Finding:
    """Requests per second that a full batch gives, by hand."""
    said = number(answer)
    near = said is not None and abs(said - capacity) <= 0.05 * capacity
    hint = ""
    if said is not None and abs(said - capacity / 8) <= 0.05 * capacity / 8:
        hint = "That is one place of the batch. How many are there?"
    return Finding(passed=near, observed=f"you say {plainly(answer)} requests per second", hint=hint)


def two_loops(closed: LoadResult, open_: LoadResult) -> Finding:
    """On the same server, waiting stays level in the closed loop and climbs in the open one."""
    grew = [growth(run) for run in (closed, open_)]
    if grew[0] is None or grew[1] is None:
        return Finding(passed=False, observed="too few answers to compare", inconclusive=True)
    observed = f"last third against first: closed loop {grew[0]:.1f} times, open loop {grew[1]:.1f} times"
    doubts = [*closed.doubts, *open_.doubts]
    good = grew[0] < CLIMBS < grew[1]
    if doubts and not good:
        return Finding(passed=False, observed="; ".join([observed, *doubts]), inconclusive=True)
    return Finding(passed=good, observed=observed)


def growth(run: LoadResult) -> float | None:
    """How many times longer the last third of the requests waited than the first, a second added to both."""
    waits = [row.ttft if row.ttft is not None else row.e2e for row in run.rows]
    third = len(waits) // 3
    if third < 3:
        return None
    return (1 + median(waits[-third:])) / (1 + median(waits[:third]))


def no_bound(answer: Any, run: LoadResult, seconds: float) -> Finding:
    """How long the last user waits once the overload has lasted `seconds`."""
    said, point = number(answer), load_point(run)
    if point.answered <= 0 or point.offered < OVERLOAD * point.answered:
        observed = f"{point.offered:.2f} offered, {point.answered:.2f} answered per second: no overload"
        return Finding(passed=False, observed=observed, inconclusive=True)
    wait = (point.offered / point.answered - 1) * seconds
    near = said is not None and abs(said - wait) <= 0.3 * wait
    observed = (
        f"you say {plainly(answer)}; {point.offered:.2f} offered, {point.answered:.2f} answered per second: "
        f"{point.offered - point.answered:.2f} more stand in line each second"
    )
    return Finding(passed=near, observed=observed)


def knee(answer: Any, points: Sequence[LoadPoint]) -> Finding:
    """The highest rate of answers that the sweep saw, give or take what a short run leaves open."""
    said, top = number(answer), max((p.answered for p in points), default=0.0)
    if not any(p.offered >= OVERLOAD * p.answered for p in points):
        return Finding(passed=False, observed="no point of the sweep is past the knee", inconclusive=True)
    near = said is not None and abs(said - top) <= 0.12 * top
    return Finding(
        passed=near, observed=f"you say {plainly(answer)}; the most that was answered is {top:.2f} a second"
    )


def little(answer: Any, users: float, think: float, capacity: float) -> Finding:
    """Seconds for an answer in a closed loop: N = X · (R + Z), solved for R."""
    said, right = number(answer), users / capacity - think
    near = said is not None and abs(said - right) <= 0.08 * right
    hint = (
        "Those who think are in the loop as well, but not in the server."
        if _near(said, right + think)
        else ""
    )
    observed = f"you say {plainly(answer)} seconds for {users:g} users who think for {think:g} s"
    return Finding(passed=near, observed=observed, hint=hint)


def _near(said: float | None, value: float) -> bool:
    return said is not None and abs(said - value) <= 0.08 * value


def target(allowed: Any) -> Finding:
    """The learner's own function, tried on cases with known answers."""
    if not callable(allowed):
        return Finding(passed=False, observed=f"{allowed!r} is not a function")
    for goal, rate, wanted in CASES:
        got = called(allowed, goal, rate)
        if number(got) != wanted:
            observed = f"allowed({goal:g}, {rate:g}) gave {got}"
            return Finding(passed=False, observed=observed, hint=_why(goal, rate, wanted))
    return Finding(passed=True, observed=f"right for {len(CASES)} of {len(CASES)} cases")


def _why(goal: float, rate: float, wanted: int) -> str:
    if wanted == 0:
        return "Nobody can stand in line less than 0 times."
    return (
        f"In {goal:g} s {goal * rate:.1f} places become free. One of them must be yours; whole people only."
    )


def batch(deployment: Mapping[str, Any] | None) -> Finding:
    """The server takes 64 sequences at a time."""
    arguments = [str(a) for a in dig(deployment, "spec.template.spec.containers.0.args") or []]
    if not arguments:
        return Finding(
            passed=False, observed="there is no deployment batch-64", hint="lab.apply(…) creates it."
        )
    said = _flag(arguments)
    return Finding(passed=said == str(LARGE), observed=f"{BATCH} is {said or 'not set'}")


def _flag(arguments: Sequence[str]) -> str:
    for i, word in enumerate(arguments):
        name, _, value = word.partition("=")
        if name == BATCH:
            return value or (arguments[i + 1] if i + 1 < len(arguments) else "")
    return ""


def trade(small: LoadResult, large: LoadResult) -> Finding:
    """The larger batch gives far more tokens in all, and each user's come a little slower."""
    one, many = small.summary(), large.summary()
    observed = (
        f"{one.tokens_rate:.0f} → {many.tokens_rate:.0f} tokens/s in all; "
        f"{1000 * one.itl.p50:.0f} → {1000 * many.itl.p50:.0f} ms between two tokens of one user"
    )
    more = many.tokens_rate > 10 * one.tokens_rate
    slower = one.itl.p50 < many.itl.p50 < 2 * one.itl.p50
    doubts = [*small.doubts, *large.doubts]
    hint = f"Does batch-64 really run with {BATCH}=64?" if not more else ""
    return Finding(more and slower, observed, hint=hint, inconclusive=bool(doubts) and more and not slower)


def preemptions(answer: Any, cache: float, counted: float) -> Finding:
    """The cache was full, and the learner read from the server's counter how often it took blocks back."""
    said = number(answer)
    observed = f"you say {plainly(answer)}; the counter stands at {counted:g}, the cache was {cache:.0%} full"
    if counted < 1 or cache < FULL:
        return Finding(passed=False, observed=observed, hint=f"The cache never filled up: is {BATCH} 64?")
    return Finding(passed=said is not None and said == counted, observed=observed)


CHECKS: Sequence[Check] = (
    Check(
        "03.two-loops",
        "the same server: waiting stays level in the closed loop and climbs in the open loop",
        "The open load must offer more than the server can answer.",
        two_loops,
        rows=(10,),
    ),
    Check(
        "03.capacity",
        "requests per lab second of a server that always works on 8, within 5 %",
        "How long is one step? How many steps does a request need? How many requests share each step?",
        capacity,
        rows=(10,),
    ),
    Check(
        "03.no-bound",
        "the wait in lab seconds of somebody who comes when the overload has lasted that long, within 30 %",
        "How many stand in line by then? How many of them does the server answer in a second?",
        no_bound,
        rows=(5, 10),
    ),
    Check(
        "03.knee",
        "the highest rate of answers in the sweep, within 12 %",
        "Look where the answered rate stops following the offered one, and at its height from there on.",
        knee,
        rows=(10,),
    ),
    Check(
        "03.little",
        "the time of one answer in a closed loop, from N = X · (R + Z), within 8 %",
        "N is the number of users, X the rate of answers, Z the time to think. Solve for R.",
        little,
        rows=(10,),
    ),
    Check(
        "03.target",
        "how many may wait before you, for a TTFT goal and a rate of answers; never less than 0",
        "All places are taken. How many must become free until your turn, and how many do in that time?",
        target,
        rows=(5, 6),
    ),
    Check(
        "03.batch",
        "deployment batch-64 runs with --max-num-seqs=64",
        "Open manifests/03-load/exercises/batch-64.yaml and compare its arguments with its name.",
        batch,
        {"deployment": "deployment/batch-64"},
        rows=(10,),
    ),
    Check(
        "03.trade",
        "64 at a time: more than ten times the tokens of 1 at a time, each user's less than twice as slow",
        "Compare the two runs' tokens per second and times between tokens.",
        trade,
        rows=(10,),
    ),
    Check(
        "03.preemptions",
        "the value of vllm:num_preemptions_total after a load that fills the KV cache",
        "Ask the server: lab.curl(lab.url('pod/…') + '/metrics', grep='num_preemptions_total').",
        preemptions,
        rows=(10,),
    ),
)
