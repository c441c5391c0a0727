"""Notebook 05: what is right for its checks, and mutants of it, each with one thing wrong."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

from labkit.evidence import Event, Series, Timeline
from labkit.load.results import LoadResult
from labkit.load.rows import Row
from labkit.validation.examples import hpa_queue_faults
from labkit.validation.mutants import Case

HPA = {
    "apiVersion": "autoscaling/v2",
    "spec": {
        "scaleTargetRef": {"kind": "Deployment", "name": "llm-inference-service"},
        "minReplicas": 2,
        "maxReplicas": 10,
        "metrics": [
            {
                "type": "Pods",
                "pods": {
                    "metric": {"name": "vllm_request_queue_size"},
                    "target": {"type": "AverageValue", "averageValue": "5"},
                },
            }
        ],
    },
    "status": {"conditions": [{"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"}]},
}


def recording(desired: list[tuple[float, float]], *, ready: float = 10) -> Timeline:
    """The queue is empty from 500 s on; each pod is ready a minute after it was asked for, up to `ready`."""
    quiet_at, top = 500, 60
    queue = Series("queue", "requests", ((0, 0), (90, top), (quiet_at, 0), (1200, 0)), label="a")
    average = Series("queue average", "requests", ((0, 0), (90, top / 2), (quiet_at, 0)))
    rising = tuple((t + 60, min(v, ready)) for t, v in desired)
    every = (Series("desired", "", tuple(desired)), Series("ready", "", rising), queue, average)
    return Timeline(15, "test", every, (Event(85, "the crowd arrives"),))


GOOD = recording([(0, 2), (105, 4), (120, 8), (340, 10), (820, 2)])
FASTER = recording([(0, 2), (105, 6), (340, 10), (820, 2)])


def wrong(path: list[Any], value: Any) -> dict[str, Any]:
    thing: Any = copy.deepcopy(HPA)
    inner = thing
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return dict(thing)


def right(queues: list[float]) -> int:
    return min(10, max(2, math.ceil(sum(queues) / 5)))


def load(*outcomes: str, ended: str = "done", lag: float = 0.0) -> LoadResult:
    rows = tuple(Row(i, 1.0, 1.0 + lag, 3.0, outcome, first=2.0) for i, outcome in enumerate(outcomes))
    return LoadResult(Path("none"), {"clock": 15}, 0.0, rows, (), ended)


PASSING: list[Case] = [
    ("05.hpa", {"hpa": HPA}),
    ("05.scaling-active", {"hpa": HPA}),
    ("05.hops", {"hops": {"server": 20, "prometheus": 19, "API": 20, "HPA": 18}}),
    ("05.names", {"renamed_by": "prometheus-adapter", "labelled_by": "Prometheus"}),
    ("05.desired-by-hand", {"desired": right}),
    ("05.scale-out", {"timeline": GOOD}),
    ("05.steps", {"answer": [2, 4, 8, 10], "timeline": GOOD}),
    ("05.delay", {"answer": 20, "timeline": GOOD}),
    ("05.scale-in", {"timeline": GOOD}),
    ("05.no-failures", {"load": load("ok", "ok")}),
    ("05.behavior", {"plain": GOOD, "behavior": FASTER}),
    ("05.mended", {"hpa": HPA}),
    ("05.alone", {"hpas": [HPA]}),
    ("05.keep-alive", {"kept": {"a": 9, "b": 8, "c": 0}, "fresh": {"a": 3, "b": 4, "c": 3}}),
    *hpa_queue_faults.passing(HPA),
]

MUTANTS: list[Case] = [
    ("05.hpa", {"hpa": None}),
    ("05.hpa", {"hpa": wrong(["spec", "minReplicas"], 1)}),
    ("05.hpa", {"hpa": wrong(["spec", "metrics", 0, "pods", "target", "averageValue"], "50")}),
    ("05.hpa", {"hpa": wrong(["spec", "metrics", 0, "pods", "metric", "name"], "num_requests_waiting")}),
    ("05.hpa", {"hpa": wrong(["spec", "metrics"], [*HPA["spec"]["metrics"], {"type": "Resource"}])}),  # type: ignore[index]
    ("05.scaling-active", {"hpa": wrong(["status", "conditions", 0, "status"], "False")}),
    ("05.scaling-active", {"hpa": wrong(["status"], {})}),
    ("05.hops", {"hops": {"server": 20, "prometheus": 19, "API": 2, "HPA": 18}}),
    ("05.hops", {"hops": {"server": 0, "prometheus": 0, "API": 0, "HPA": 0}}),
    ("05.hops", {"hops": {"server": 20, "prometheus": 20}}),
    ("05.hops", {"hops": [1, 2]}),
    ("05.names", {"renamed_by": "Prometheus", "labelled_by": "Prometheus"}),
    ("05.names", {"renamed_by": "adapter", "labelled_by": "vLLM"}),
    ("05.desired-by-hand", {"desired": lambda queues: math.ceil(sum(queues) / 5)}),  # no bounds
    ("05.desired-by-hand", {"desired": lambda queues: min(10, max(2, round(sum(queues) / 5)))}),
    ("05.desired-by-hand", {"desired": lambda queues: min(10, max(2, math.ceil(max(queues) / 5)))}),
    ("05.desired-by-hand", {"desired": lambda _queues: 1 / 0}),
    ("05.desired-by-hand", {"desired": 4}),
    ("05.scale-out", {"timeline": recording([(0, 2), (105, 4)])}),
    ("05.scale-out", {"timeline": recording([(0, 8), (105, 10)])}),
    ("05.scale-out", {"timeline": recording([(0, 2), (105, 4), (120, 8), (340, 10), (820, 2)], ready=2)}),
    ("05.steps", {"answer": [2, 6, 10], "timeline": GOOD}),
    ("05.steps", {"answer": "2, 4, 8, 10", "timeline": GOOD}),
    ("05.delay", {"answer": 300, "timeline": GOOD}),
    ("05.delay", {"answer": None, "timeline": GOOD}),
    ("05.scale-in", {"timeline": recording([(0, 2), (105, 4), (120, 8), (340, 10), (560, 2)])}),  # no window
    ("05.scale-in", {"timeline": recording([(0, 2), (105, 4), (120, 8), (340, 10)])}),  # never came back
    ("05.scale-in", {"timeline": recording([(0, 2), (105, 4), (120, 8), (340, 10), (820, 4)])}),  # not all
    ("05.no-failures", {"load": load("ok", "http_503")}),
    ("05.behavior", {"plain": GOOD, "behavior": GOOD}),
    ("05.behavior", {"plain": recording([(0, 2)]), "behavior": FASTER}),
    ("05.behavior", {"plain": recording([(0, 3), (105, 4)]), "behavior": FASTER}),
    ("05.mended", {"hpa": wrong(["status", "conditions", 0, "status"], "False")}),
    ("05.alone", {"hpas": [HPA, HPA]}),
    ("05.alone", {"hpas": []}),
    ("05.alone", {"hpas": [wrong(["status", "conditions", 0, "status"], "False")]}),
    ("05.keep-alive", {"kept": {"a": 9, "b": 8, "c": 7}, "fresh": {"a": 3, "b": 4, "c": 3}}),
    ("05.keep-alive", {"kept": None, "fresh": {}}),
    *hpa_queue_faults.mutants(HPA),
]
