"""Checks of notebook 03: how many users one GPU can serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from statistics import median
from typing import Any

from course.checks.figures import value_of
from course.queueing import LoadPoint, load_point
from labkit import course
from labkit.checks.check import AS_IT_IS, Check, Figure, Finding, nothing_yet, number
from labkit.checks.tried import Case, Tried
from labkit.errors import BadInput
from labkit.evidence import Series, plainly
from labkit.evidence.blank import LOAD_AGAIN
from labkit.load.results import LoadResult
from localcluster.api.objects import dig
from localcluster.gpus import profile

BATCH = "--max-num-seqs"
LARGE = 64
FULL = 0.95  # share of the KV cache in use: from here on no new sequence fits
CACHE, POD = "vllm:kv_cache_usage_perc", "batch-64-"
PREEMPTIONS = 'max_over_time(vllm:num_preemptions_total{pod=~"batch-64-.*"}[20s])'
PROFILE = "cluster/images/model-server/profiles/nvidia-l4_llama-3.1-8b-instruct.toml"
OVERLOAD = 1.1  # offered over answered; less can be one answer more or less in a short run
CLIMBS = 2.0  # the last third waits more than this many times as long as the first

# (TTFT goal in lab seconds, answers per lab second), requests that can wait ahead of you
CASES: tuple[Case, ...] = (
    ((10, 0.617), 5),
    ((5, 0.617), 2),
    ((20, 0.617), 11),
    ((10, 1.235), 11),
    ((1, 0.617), 0),
)


def full_batch() -> float:
    """Requests per lab second of a server with a full batch of 8, from its GPU's profile."""
    return profile.load(course.existing(PROFILE)).requests_per_second(batch=8, prompt=128, output=200)


def load_points(runs: Sequence[LoadResult]) -> list[LoadPoint]:
    """A sweep's points: one for each run."""
    return [load_point(run) for run in runs]


def fullest(fills: Sequence[Series]) -> float:
    """How full the cache of batch-64 was at most; refuses any other series."""
    for series in fills:
        if series.name != CACHE or not series.label.startswith(POD):
            raise BadInput(f"This is {series.name} of {series.label!r}, not {CACHE} of {POD}…", fix=AS_IT_IS)
    return max((peak for series in fills if (peak := series.peak()) is not None), default=nan)


def capacity(answer: Any, capacity: float) -> Finding:
    """The learner's own calculation of a full batch's requests per second."""
    said = number(answer)
    near = said is not None and abs(said - capacity) <= 0.05 * capacity
    hint = "" if said is not None else "Answer with a number of requests per second."
    if _close(said, capacity / 8):
        hint = "That is one place in the batch. How many are there?"
    elif _close(said, 200 * capacity):
        hint = "Those are tokens per second. How many tokens does a request need?"
    elif said and _close(1 / said, capacity):
        hint = "That is seconds per request. The question is how many requests per second."
    elif _close(said, 25 * capacity):
        hint = "Those are steps per second. How many steps does a request need, and how many share each?"
    elif (said is not None and said > 100 * capacity) or _close(said, capacity / 1000):
        hint = "`step` is in seconds, not in milliseconds."
    return Finding(passed=near, observed=f"you say {plainly(answer)} requests per second", hint=hint)


def _close(said: float | None, value: float) -> bool:
    return said is not None and abs(said - value) <= 0.1 * value


def two_loops(closed: LoadResult, open_: LoadResult) -> Finding:
    """On the same server, waiting times stay level in the closed loop and climb in the open one."""
    grew = [growth(run) for run in (closed, open_)]
    if grew[0] is None or grew[1] is None:
        return nothing_yet("too few answers to compare", LOAD_AGAIN)
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
        return nothing_yet(observed, LOAD_AGAIN)
    wait = (point.offered / point.answered - 1) * seconds
    near = said is not None and abs(said - wait) <= 0.3 * wait
    observed = (
        f"you say {plainly(answer)}; {point.offered:.2f} offered, {point.answered:.2f} answered per second"
    )
    return Finding(passed=near, observed=observed, hint=_wait_hint(said, wait, point))


def _wait_hint(said: float | None, wait: float, point: LoadPoint) -> str:
    """The likely mistake: people instead of seconds, the other rate, or the short run's result."""
    if said is None:
        return "Answer with a number of lab seconds."
    if _close(said, wait * point.answered):
        return "That is how many are waiting. How long does the server need for them?"
    if _close(said, wait * point.answered / point.offered):
        return "Waiting requests leave at the rate of answers, not at the rate at which others arrive."
    if said < wait / 5:  # the short run was one twelfth as long
        return "That is what the short run showed. How long does the overload last here?"
    return ""


def knee(answer: Any, points: Sequence[LoadPoint]) -> Finding:
    """The highest answer rate in the sweep, within the accuracy of a short run."""
    said, top = number(answer), max((p.answered for p in points), default=0.0)
    if not any(p.offered >= OVERLOAD * p.answered for p in points):
        return nothing_yet("no point of the sweep is past the knee", LOAD_AGAIN)
    near = said is not None and abs(said - top) <= 0.12 * top
    return Finding(passed=near, observed=f"you say {plainly(answer)} a second", hint=_knee(said, top, points))


def _knee(said: float | None, top: float, points: Sequence[LoadPoint]) -> str:
    """The likely mistake: an offered rate, a waiting time, or a point before the knee."""
    if said is None:
        return "Answer with a number of requests per second."
    if said > top and any(_close(said, p.offered) for p in points):
        return "That is how many were offered. How many of them were answered?"
    if said > top:
        return "Nothing in the sweep was answered at that rate: read `answered`, in requests per second."
    return "The server can do more than that: look further to the right, where the answers stay level."


def little(answer: Any, users: float, think: float, capacity: float) -> Finding:
    """Seconds per answer in a closed loop: N = X · (R + Z), solved for R."""
    said, right = number(answer), users / capacity - think
    near = said is not None and abs(said - right) <= 0.08 * right
    hint = "" if said is not None else "Answer with a number of seconds."
    if _near(said, right + think):
        hint = "Users who think are in the loop as well, but not in the server."
    elif _near(said, users * capacity) or _near(said, users * capacity - think):
        hint = "You multiplied users by a rate. N = X · (R + Z): which of these do you want to know?"
    elif _near(said, 1 / capacity):
        hint = "That is the time between two answers. Each user also waits for the other users' turns."
    observed = f"you say {plainly(answer)} seconds for {users:g} users who think for {think:g} s"
    return Finding(passed=near, observed=observed, hint=hint)


def _near(said: float | None, value: float) -> bool:
    return said is not None and abs(said - value) <= 0.08 * value


def target(allowed: Any) -> Finding:
    """The learner's own function, tried on cases with known answers."""
    if not isinstance(allowed, Tried):
        hint = "Pass the function itself, without calling it: `allowed`."
        return Finding(passed=False, observed=f"{allowed!r} is not a function", hint=hint)
    for call in allowed.calls:
        if number(call.got) != call.wanted:
            goal, rate = call.given
            observed = f"allowed({goal:g}, {rate:g}) gave {call.got}"
            return Finding(passed=False, observed=observed, hint=_why(call.got, call.wanted))
    return Finding(passed=True, observed=allowed.cases)


def _why(got: Any, wanted: int) -> str:
    said = number(got)
    if got is ...:
        return "The function still has `...` where the number belongs."
    if said is None:
        return "It has to return a number. Python's message is above: fix that first."
    if wanted == 0:
        return "The number of waiting requests can't be negative."
    if said == wanted + 1:
        return "Your own turn has to come within that time, too."
    if said != int(said):
        return "Only whole requests, and too few rather than too many: round down."
    return "Try it by hand: how many places become free in `goal` seconds, at `rate` places per second?"


def batch(deployment: Mapping[str, Any] | None) -> Finding:
    """The server takes 64 sequences at a time."""
    arguments = [str(a) for a in dig(deployment, "spec.template.spec.containers.0.args") or []]
    if not arguments:
        return Finding(
            passed=False, observed="there is no deployment batch-64", hint="lab.apply(…) creates it."
        )
    said = _flag(arguments)
    hint = ""
    if not said:
        hint = f"Without this argument the server uses its own default. Add {BATCH}=… to `args`."
    elif said.strip("\"' ") == str(LARGE):
        hint = "There is a stray quote or blank in the value."
    return Finding(passed=said == str(LARGE), observed=f"{BATCH} is {said or 'not set'}", hint=hint)


def _flag(arguments: Sequence[str]) -> str:
    for i, word in enumerate(arguments):
        name, _, value = word.partition("=")
        if name == BATCH:
            return value or (arguments[i + 1] if i + 1 < len(arguments) else "")
    return ""


def trade(small: LoadResult, large: LoadResult) -> Finding:
    """The larger batch gives far more tokens in total, and each user's arrive a little slower."""
    one, many = small.summary(), large.summary()
    observed = (
        f"{one.tokens_rate:.0f} → {many.tokens_rate:.0f} tokens/s in total; "
        f"{1000 * one.itl.p50:.0f} → {1000 * many.itl.p50:.0f} ms between two tokens of one user"
    )
    more = many.tokens_rate > 10 * one.tokens_rate
    slower = one.itl.p50 < many.itl.p50 < 2 * one.itl.p50
    doubts = [*small.doubts, *large.doubts]
    if not (small.complete and large.complete):
        hint = "Let both loads finish: run the cell with lab.load(…) again."
        return nothing_yet("; ".join(doubts), hint)
    hint = f"Does batch-64 really run with {BATCH}=64?" if not more else "Was this machine busy?"
    return Finding(more and slower, observed, hint=hint, inconclusive=bool(doubts) and more and not slower)


def preemptions(answer: Any, cache: float, counted: float) -> Finding:
    """The cache was full, and the learner read the number of preemptions from the server's counter."""
    said = number(answer)
    observed = f"you say {plainly(answer)}; the cache was {cache:.0%} full"
    if counted < 1 or cache < FULL:
        return Finding(passed=False, observed=observed, hint=f"The cache never filled up: is {BATCH} 64?")
    hint = ""
    if said is not None and 0 < said <= 1:
        hint = "That is how full the cache was. The counter is another line of /metrics."
    elif said is not None and said > counted:
        hint = "Is that the counter's value (after the last space of its line), and of this pod?"
    elif said is not None and 0 < said < counted:
        hint = "The counter has risen since you read it: read it once more."
    elif said == 0:
        hint = "There were some: the users' longest silence shows it. Read the counter of the pod batch-64."
    return Finding(passed=said is not None and said == counted, observed=observed, hint=hint)


CHECKS: Sequence[Check] = (
    Check(
        "03.two-loops",
        "the same server: waiting times stay level in the closed loop and climb in the open loop",
        "The open load must offer more than the server can answer.",
        two_loops,
        rows=(10,),
    ),
    Check(
        "03.capacity",
        "requests per lab second of a server that always works on 8, within 5 %",
        "How long is one step? How many steps does a request need? How many requests share each step?",
        capacity,
        answers=("answer",),
        copying=False,
        figures={"capacity": Figure(of=(), by=full_batch)},
        rows=(10,),
    ),
    Check(
        "03.no-bound",
        "the wait in lab seconds of a request that comes after that much overload, within 30 %",
        "How many are waiting by then? How many of them does the server answer in a second?",
        no_bound,
        answers=("answer",),
        copying=False,
        rows=(5, 10),
    ),
    Check(
        "03.knee",
        "the highest rate of answers in the sweep, within 12 %",
        "Look where the answered rate stops following the offered one, and at its height from there on.",
        knee,
        answers=("answer",),
        copying=True,
        figures={"points": Figure(of=("runs",), by=load_points)},
        rows=(10,),
    ),
    Check(
        "03.little",
        "the time of one answer in a closed loop, from N = X · (R + Z), within 8 %",
        "N is the number of users, X the rate of answers, Z the thinking time. Solve for R.",
        little,
        answers=("answer",),
        copying=False,
        figures={"capacity": Figure(of=(), by=full_batch)},
        rows=(10,),
    ),
    Check(
        "03.target",
        "how many may wait ahead of you, for a TTFT goal and a rate of answers; never less than 0",
        "All places are taken. How many must become free before your turn, and how many do in that time?",
        target,
        answers=("allowed",),
        copying=False,
        cases={"allowed": CASES},
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
        answers=("answer",),
        copying=True,
        figures={
            "cache": Figure(of=("fills",), by=fullest),
            "counted": Figure(of=("counter",), by=value_of(PREEMPTIONS)),
        },
        rows=(10,),
    ),
)
