"""Notebook 04: what is right for its checks, and mutants of it, each with one thing wrong."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from labkit.evidence import Series, Timeline
from labkit.load.results import LoadResult
from labkit.load.rows import Row
from tests.course.mutants import Case

HPA: dict[str, Any] = {
    "apiVersion": "autoscaling/v2",
    "spec": {
        "scaleTargetRef": {"kind": "Deployment", "name": "llm-inference-service"},
        "minReplicas": 2,
        "maxReplicas": 10,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
            }
        ],
    },
    "status": {"conditions": [{"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"}]},
}
DEPLOYMENT: dict[str, Any] = {
    "spec": {"template": {"spec": {"containers": [{"resources": {"requests": {"cpu": "4"}}}]}}}
}
SERIES = {
    "desired": ((0.0, 2.0), (300.0, 2.0)),
    "gpu": ((0.0, 0.0), (40.0, 100.0)),
    "cpu": ((0.0, 25.0), (50.0, 26.0), (80.0, 30.0)),
    "latency": ((30.0, 0.2), (60.0, 36.8), (240.0, 92.4)),
}


def recording(**other: tuple[tuple[float, float], ...]) -> Timeline:
    kept = (SERIES | other).items()
    p50 = Series("latency", "s", ((30.0, 0.1), (60.0, 0.2)), "p50")
    return Timeline(15, "test", (p50, *(Series(n, "", p, "p95" * (n == "latency")) for n, p in kept)))


ASLEEP, AWAKE = recording(), recording(desired=((0, 2), (60, 4), (100, 10)))


def users(in_time: int, *, lag: float = 0.0) -> LoadResult:
    """100 requests, so many of them answered within 10 s."""
    rows = tuple(Row(i, 1, 1 + lag, 90, "ok", first=2 if i < in_time else 60) for i in range(100))
    return LoadResult(Path("none"), {"clock": 15, "shape": {"seconds": 60}}, 0.0, rows, (), "done")


def two(cpu: Timeline, queue: Timeline, few: int = 8, many: int = 48, *, lag: float = 0.0) -> dict[str, Any]:
    loads = {"cpu_load": users(few, lag=lag), "queue_load": users(many)}
    return {"on_cpu": cpu, "on_queue": queue} | loads


def wrong(thing: dict[str, Any], path: list[Any], value: Any) -> dict[str, Any]:
    made = copy.deepcopy(thing)
    inner: Any = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


def right(replicas: int, utilization: float, target: float) -> int:
    return min(10, max(2, math.ceil(replicas * utilization / target)))


METRIC = ["spec", "metrics", 0, "resource"]
REQUEST = ["spec", "template", "spec", "containers", 0, "resources"]

PASSING: list[Case] = [
    ("04.hpa", {"hpa": HPA}),
    ("04.slept", {"timeline": ASLEEP}),
    ("04.suffered", {"answer": 60, "timeline": ASLEEP}),
    ("04.knew", {"answer": 26, "timeline": ASLEEP}),
    ("04.flat", {"answer": (25, 30), "timeline": ASLEEP}),
    ("04.desired-by-hand", {"desired": right}),
    ("04.lower-target", {"answer": 10}),
    ("04.missing-request", {"reason": "FailedGetResourceMetric", "container": "model-server"}),
    ("04.mended", {"deployment": DEPLOYMENT, "hpa": HPA}),
    ("04.side-by-side", two(ASLEEP, AWAKE)),
]

MUTANTS: list[Case] = [
    ("04.hpa", {"hpa": None}),
    ("04.hpa", {"hpa": wrong(HPA, [*METRIC, "name"], "memory")}),
    ("04.hpa", {"hpa": wrong(HPA, [*METRIC, "target", "averageUtilization"], 20)}),
    ("04.hpa", {"hpa": wrong(HPA, ["spec", "metrics"], [*HPA["spec"]["metrics"], {"type": "Pods"}])}),
    ("04.slept", {"timeline": AWAKE}),
    ("04.slept", {"timeline": recording(desired=((0, 2), (60, 3), (300, 3)))}),  # it stirred
    ("04.slept", {"timeline": recording(desired=((0, 4), (300, 2)))}),  # it fell
    ("04.suffered", {"answer": 240, "timeline": ASLEEP}),  # the worst moment, not the first
    ("04.suffered", {"answer": 30, "timeline": ASLEEP}),
    ("04.suffered", {"answer": 36.8, "timeline": ASLEEP}),  # the wait
    ("04.suffered", {"answer": "when the crowd came", "timeline": ASLEEP}),
    ("04.knew", {"answer": 36.8, "timeline": ASLEEP}),  # seconds, not CPU
    ("04.knew", {"answer": 80, "timeline": ASLEEP}),  # the target
    ("04.knew", {"answer": 0.26, "timeline": ASLEEP}),  # a share
    ("04.knew", {"answer": "nothing", "timeline": ASLEEP}),
    ("04.knew", {"answer": 26, "timeline": recording(cpu=())}),
    ("04.flat", {"answer": (0, 100), "timeline": ASLEEP}),  # the GPU's
    ("04.flat", {"answer": 30, "timeline": ASLEEP}),
    ("04.flat", {"answer": (30, 25), "timeline": ASLEEP}),
    ("04.flat", {"answer": (0.25, 0.3), "timeline": ASLEEP}),
    ("04.flat", {"answer": (25, 90), "timeline": recording(cpu=((0, 25), (60, 90)))}),
    ("04.desired-by-hand", {"desired": lambda r, u, t: math.ceil(r * u / t)}),  # no bounds
    ("04.desired-by-hand", {"desired": lambda r, u, t: min(10, max(2, round(r * u / t)))}),
    ("04.desired-by-hand", {"desired": lambda _r, u, t: min(10, max(2, math.ceil(u / t)))}),
    ("04.desired-by-hand", {"desired": lambda _r, _u, _t: 1 / 0}),
    ("04.desired-by-hand", {"desired": 2}),
    ("04.lower-target", {"answer": 3}),  # one sync only
    ("04.lower-target", {"answer": 2}),
    ("04.lower-target", {"answer": 19}),  # no bounds
    ("04.lower-target", {"answer": "ten"}),
    ("04.missing-request", {"reason": "ScalingActive", "container": "model-server"}),
    ("04.missing-request", {"reason": "failedgetresourcemetric", "container": "model-server"}),
    ("04.missing-request", {"reason": "FailedGetResourceMetric", "container": "llm-inference-service"}),
    ("04.missing-request", {"reason": "FailedGetResourceMetric", "container": "cpu"}),
    ("04.mended", {"deployment": wrong(DEPLOYMENT, REQUEST, {}), "hpa": HPA}),
    ("04.mended", {"deployment": wrong(DEPLOYMENT, REQUEST, {"requests": {"cpu": "400m"}}), "hpa": HPA}),
    ("04.mended", {"deployment": DEPLOYMENT, "hpa": wrong(HPA, ["status"], {})}),
    ("04.side-by-side", two(AWAKE, ASLEEP)),
    ("04.side-by-side", two(ASLEEP, AWAKE, 48, 8)),
]

TOO_EARLY: list[Case] = [
    ("04.slept", {"timeline": recording(latency=((30, 0.2), (60, 0.3)))}),  # nobody suffered
    ("04.slept", {"timeline": recording(gpu=((0, 0), (40, 45)))}),  # the GPU was not busy
    ("04.suffered", {"answer": 60, "timeline": recording(latency=((30, 0.2), (60, 0.3)))}),
    ("04.knew", {"answer": 26, "timeline": recording(latency=((30, 0.2), (60, 0.3)))}),
    ("04.side-by-side", two(ASLEEP, ASLEEP)),  # one recording, twice
    (
        "04.side-by-side",
        two(replace(ASLEEP, began=5000.0), AWAKE) | {"cpu_load": replace(users(8), started=9e3)},
    ),
]
"""Evidence in which nobody suffered, or that is of another run: nobody's wrong answer."""
