"""Notebook 03: what is right for its checks, and mutants of it, each with one thing wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from course.queueing import LoadPoint
from labkit.load.results import LoadResult
from labkit.load.rows import Row
from tests.course.mutants import Case


def run(
    wait: Callable[[float], float],
    *,
    gap: float = 1.0,
    itl: float = 0.065,
    tokens: int = 200,
    lag: float = 0.0,
) -> LoadResult:
    """60 requests, `gap` seconds apart; `wait` is the TTFT of the one that came at a time."""
    rows = []
    for i in range(60):
        due, first = gap * i, gap * i + wait(gap * i)
        end = first + tokens * itl
        rows.append(Row(i, due, due + lag, end, "ok", first=first, itl=itl, tokens_out=tokens))
    plan = {"clock": 15, "shape": {"kind": "open", "what": "test", "seconds": 60 * gap}}
    return LoadResult(Path("none"), plan, 0.0, tuple(rows), (), "done")


LEVEL, CLIMBING = run(lambda _: 8.0), run(lambda t: t)
OVERLOADED = run(lambda t: t + 1, itl=0.001)  # comes at 1 per second, answered at 0.5
ALONE, TOGETHER = run(lambda _: 0.1, gap=13), run(lambda _: 0.1, gap=0.2, itl=0.078)
SWEEP = [
    LoadPoint(offered=rate, answered=min(rate, 0.62), ttft_p95=1, in_system=1, arrivals=rate, time=13)
    for rate in (0.2, 0.4, 0.6, 0.9)
]


def batch_of(*arguments: str) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"args": ["--model=x", *arguments]}]}}}}


def right(goal: float, rate: float) -> int:
    return max(0, math.floor(goal * rate) - 1)


PASSING: list[Case] = [
    ("03.two-loops", {"closed": LEVEL, "open_": CLIMBING}),
    ("03.capacity", {"answer": 0.61, "capacity": 0.617}),
    ("03.no-bound", {"answer": 1500, "run": OVERLOADED, "seconds": 1500}),
    ("03.knee", {"answer": 0.6, "points": SWEEP}),
    ("03.little", {"answer": 22.4, "users": 20, "think": 10, "capacity": 0.617}),
    ("03.target", {"allowed": right}),
    ("03.batch", {"deployment": batch_of("--max-num-seqs=64")}),
    ("03.batch", {"deployment": batch_of("--max-num-seqs", "64")}),
    ("03.trade", {"small": ALONE, "large": TOGETHER}),
    ("03.preemptions", {"answer": 24.0, "cache": 0.99, "counted": 24.0}),
]

MUTANTS: list[Case] = [
    ("03.two-loops", {"closed": CLIMBING, "open_": LEVEL}),
    ("03.two-loops", {"closed": LEVEL, "open_": LEVEL}),  # the open load offered too little
    ("03.two-loops", {"closed": CLIMBING, "open_": CLIMBING}),
    ("03.capacity", {"answer": 0.617 / 8, "capacity": 0.617}),  # one place of the batch
    ("03.capacity", {"answer": 15.4, "capacity": 0.617}),  # steps per second
    ("03.capacity", {"answer": 123.0, "capacity": 0.617}),  # tokens per second
    ("03.capacity", {"answer": 1.62, "capacity": 0.617}),  # seconds for a request
    ("03.capacity", {"answer": 0.000617, "capacity": 0.617}),  # milliseconds taken for seconds
    ("03.no-bound", {"answer": 60, "run": OVERLOADED, "seconds": 1500}),  # what the short run showed
    ("03.no-bound", {"answer": 750, "run": OVERLOADED, "seconds": 1500}),  # forgot the rate of answers
    ("03.no-bound", {"answer": "for ever", "run": OVERLOADED, "seconds": 1500}),
    ("03.knee", {"answer": 7.5, "points": SWEEP}),  # a waiting time
    ("03.knee", {"answer": 0.9, "points": SWEEP}),  # the highest offered rate
    ("03.knee", {"answer": 0.4, "points": SWEEP}),
    ("03.little", {"answer": 32.4, "users": 20, "think": 10, "capacity": 0.617}),  # forgot to think
    ("03.little", {"answer": 12.3, "users": 20, "think": 10, "capacity": 0.617}),  # multiplied
    ("03.little", {"answer": 1.62, "users": 20, "think": 10, "capacity": 0.617}),  # between two answers
    ("03.target", {"allowed": lambda goal, rate: max(0, goal * rate - 1)}),  # half a person
    ("03.target", {"allowed": lambda _goal, _rate: ...}),
    ("03.target", {"allowed": lambda goal, rate: math.floor(goal * rate)}),  # forgot one's own turn
    ("03.target", {"allowed": lambda goal, rate: math.floor(goal * rate) - 1}),  # below nothing
    ("03.target", {"allowed": lambda goal, rate: goal / rate}),
    ("03.target", {"allowed": lambda _goal, _rate: 5}),
    ("03.target", {"allowed": lambda _goal, _rate: 1 / 0}),
    ("03.target", {"allowed": 5}),
    ("03.batch", {"deployment": None}),
    ("03.batch", {"deployment": batch_of("--max-num-seqs=8")}),
    ("03.batch", {"deployment": batch_of()}),
    ("03.batch", {"deployment": batch_of("--max-num-seqs='64'")}),
    ("03.batch", {"deployment": batch_of("--max-num-seq=64")}),
    ("03.trade", {"small": ALONE, "large": run(lambda _: 0.1, gap=1.7)}),  # 8 at a time
    ("03.trade", {"small": TOGETHER, "large": ALONE}),
    ("03.trade", {"small": ALONE, "large": run(lambda _: 0.1, gap=0.2, itl=0.2)}),  # far slower
    ("03.preemptions", {"answer": 0, "cache": 0.99, "counted": 24}),
    ("03.preemptions", {"answer": 0.99, "cache": 0.99, "counted": 24}),  # the cache
    ("03.preemptions", {"answer": 1.7e9, "cache": 0.99, "counted": 24}),  # its time
    ("03.preemptions", {"answer": "often", "cache": 0.99, "counted": 24}),
    ("03.preemptions", {"answer": 0, "cache": 0.4, "counted": 0}),  # the cache never filled up
    ("03.preemptions", {"answer": 24, "cache": 0.4, "counted": 24}),
]
