"""Notebook 05: what is right for its checks, and mutants of it, each with one thing wrong."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labkit.evidence import Event, Series, Timeline
from labkit.load.results import LoadResult
from labkit.load.rows import Row
from tests.course.examples import hpa_queue_faults, hpa_queue_policy
from tests.course.mutants import Case

HPA = {
    "apiVersion": "autoscaling/v2",
    "metadata": {"name": "llm-hpa"},
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


Points = tuple[tuple[float, float], ...]
BURST: Points = ((0, 0), (90, 60), (500, 0), (1200, 0))


def recording(desired: list[tuple[float, float]], *, ready: float = 10, queue: Points = BURST) -> Timeline:
    """The queue is empty from 500 s on; each pod is ready a minute after it was asked for, up to `ready`."""
    waiting = Series("queue", "requests", queue, label="a")
    average = Series("queue average", "requests", tuple((t, v / 2) for t, v in queue))
    rising = ((0.0, 2.0), *((t + 60, min(v, ready)) for t, v in desired))
    every = (Series("desired", "", tuple(desired)), Series("ready", "", rising), waiting, average)
    return Timeline(15, "test", every, (Event(85, "the crowd arrives"),))


GOOD = recording([(0, 2), (105, 4), (120, 8), (340, 10), (820, 2)])
FASTER = recording([(0, 2), (105, 6), (340, 10), (820, 2)])
HALF_A_CROWD = recording(
    [(0, 2), (100, 4), (115, 10), (820, 2)], queue=((0, 0), (98, 20), (113, 60), (500, 0), (1200, 0))
)
"""The HPA looked when 10 waited per pod: it asked for 4, and no rule about pace held it back."""


def wrong(path: list[Any], value: Any) -> dict[str, Any]:
    thing: Any = copy.deepcopy(HPA)
    inner = thing
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return dict(thing)


def inactive(reason: str, message: str) -> dict[str, Any]:
    """The HPA's metric can't be read, for that reason."""
    condition = {"type": "ScalingActive", "status": "False", "reason": reason, "message": message}
    return wrong(["status", "conditions"], [condition])


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
    ("05.keep-alive", {"kept": {"a": 90, "b": 80, "c": 0}, "fresh": {"a": 30, "b": 40, "c": 30}}),
    *hpa_queue_faults.passing(HPA),
    *hpa_queue_policy.PASSING,
]

CPU_HPA = {**HPA, "metadata": {"name": "llm-hpa-cpu"}}
NOT_FOUND = {"type": "AbleToScale", "status": "False", "reason": "FailedGetScale", "message": "not found"}
METRIC = ["spec", "metrics", 0, "pods"]
RESOURCE = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}


def clamped(rule: Callable[[list[float]], float]) -> Callable[[list[float]], float]:
    return lambda queues: min(10, max(2, rule(queues)))


MUTANTS: list[Case] = [
    ("05.hpa", {"hpa": None}),
    ("05.hpa", {"hpa": wrong(["spec", "scaleTargetRef", "name"], "llm-inference-servce")}),
    ("05.hpa", {"hpa": wrong(["spec", "minReplicas"], 1)}),
    ("05.hpa", {"hpa": wrong(["spec", "metrics"], [RESOURCE])}),
    ("05.hpa", {"hpa": wrong([*METRIC, "target", "averageValue"], "50")}),
    ("05.hpa", {"hpa": wrong([*METRIC, "target", "averageValue"], "5m")}),
    ("05.hpa", {"hpa": wrong([*METRIC, "metric", "name"], "vllm:num_requests_waiting")}),
    ("05.hpa", {"hpa": wrong(["spec", "metrics"], [*HPA["spec"]["metrics"], {"type": "Resource"}])}),  # type: ignore[index]
    ("05.scaling-active", {"hpa": None}),
    ("05.scaling-active", {"hpa": inactive("FailedGetPodsMetric", "no metrics returned")}),
    ("05.scaling-active", {"hpa": inactive("FailedGetResourceMetric", "missing request for cpu")}),
    ("05.scaling-active", {"hpa": wrong(["status", "conditions"], [NOT_FOUND])}),
    ("05.hops", {"hops": {"server": 20, "prometheus": 19, "API": 2, "HPA": 18}}),
    ("05.hops", {"hops": {"server": 10, "Prometheus": 10, "API": 20, "HPA": 10}}),
    ("05.hops", {"hops": {"server": 10, "Prometheus": 10, "API": 10, "HPA": None}}),
    ("05.hops", {"hops": {"server": 20, "prometheus": 20}}),
    ("05.names", {"renamed_by": "Prometheus", "labelled_by": "Prometheus"}),
    ("05.names", {"renamed_by": "adapter", "labelled_by": "server"}),
    ("05.names", {"renamed_by": "adapter", "labelled_by": "the kubelet"}),
    ("05.desired-by-hand", {"desired": lambda queues: math.ceil(sum(queues) / 5)}),
    ("05.desired-by-hand", {"desired": clamped(lambda queues: round(sum(queues) / 5))}),
    ("05.desired-by-hand", {"desired": clamped(lambda queues: sum(queues) // 5)}),
    ("05.desired-by-hand", {"desired": clamped(lambda queues: math.ceil(max(queues) / 5))}),
    ("05.desired-by-hand", {"desired": lambda _queues: 1 / 0}),
    ("05.desired-by-hand", {"desired": lambda _queues: None}),
    ("05.desired-by-hand", {"desired": 4}),
    ("05.scale-out", {"timeline": recording([(0, 2), (105, 4)])}),
    ("05.scale-out", {"timeline": recording([(0, 8), (105, 10)])}),
    ("05.scale-out", {"timeline": recording([(0, 2), (105, 4), (120, 8), (340, 10), (820, 2)], ready=2)}),
    ("05.steps", {"answer": [2, 6, 10], "timeline": GOOD}),
    ("05.steps", {"answer": [4, 8, 10], "timeline": GOOD}),
    ("05.steps", {"answer": [2, 4, 8, 10, 2], "timeline": GOOD}),
    ("05.steps", {"answer": [2, 10], "timeline": GOOD}),
    ("05.steps", {"answer": [2, 5, 8, 10], "timeline": GOOD}),
    ("05.steps", {"answer": "2, 4, 8, 10", "timeline": GOOD}),
    ("05.delay", {"answer": 300, "timeline": GOOD}),
    ("05.delay", {"answer": 105, "timeline": GOOD}),
    ("05.delay", {"answer": 1.3, "timeline": GOOD}),
    ("05.delay", {"answer": 80, "timeline": GOOD}),
    ("05.delay", {"answer": -20, "timeline": GOOD}),
    ("05.delay", {"answer": None, "timeline": GOOD}),
    ("05.scale-in", {"timeline": recording([(0, 2), (105, 4), (120, 8), (340, 10), (560, 2)])}),  # no window
    ("05.scale-in", {"timeline": recording([(0, 2), (105, 4), (120, 8), (340, 10)])}),  # never came back
    ("05.scale-in", {"timeline": recording([(0, 2), (105, 4), (120, 8), (340, 10), (820, 4)])}),  # not all
    ("05.no-failures", {"load": load("ok", "http_503")}),
    ("05.no-failures", {"load": load("ok", "refused")}),
    ("05.no-failures", {"load": load("ok", "reset", "reset")}),
    ("05.behavior", {"plain": GOOD, "behavior": GOOD}),
    ("05.behavior", {"plain": FASTER, "behavior": GOOD}),
    ("05.behavior", {"plain": recording([(0, 3), (105, 4)]), "behavior": FASTER}),
    ("05.mended", {"hpa": inactive("FailedGetPodsMetric", "unable to get metric vllm_queue_length")}),
    ("05.mended", {"hpa": inactive("AmbiguousSelector", "pods by selector app=llm-model")}),
    ("05.mended", {"hpa": None}),
    ("05.alone", {"hpas": [HPA, CPU_HPA]}),
    ("05.alone", {"hpas": [CPU_HPA]}),  # the wrong one was deleted
    ("05.alone", {"hpas": []}),
    ("05.alone", {"hpas": [inactive("AmbiguousSelector", "pods by selector app=llm-model")]}),
    ("05.keep-alive", {"kept": {"a": 90, "b": 80, "c": 70}, "fresh": {"a": 30, "b": 40, "c": 30}}),
    ("05.keep-alive", {"kept": {"a": 30, "b": 40, "c": 30}, "fresh": {"a": 90, "b": 80, "c": 0}}),
    ("05.keep-alive", {"kept": {"a": 90, "b": 80, "c": 1}, "fresh": {"a": 30, "b": 40, "c": 30}}),
    *hpa_queue_faults.mutants(HPA),
    *hpa_queue_policy.MUTANTS,
]

EMPTY = Timeline(15, "test")
AFTER_A_SECOND = recording([(0, 2)], queue=((0, 0),))

TOO_EARLY: list[Case] = [
    ("05.scaling-active", {"hpa": wrong(["status"], {})}),
    ("05.mended", {"hpa": wrong(["status"], {})}),
    ("05.hops", {"hops": {"server": 0, "prometheus": 0, "API": 0, "HPA": 0}}),
    ("05.scale-out", {"timeline": EMPTY}),
    ("05.scale-out", {"timeline": AFTER_A_SECOND}),
    ("05.scale-out", {"timeline": recording([(0, 2), (105, 8)], queue=((0, 0), (90, 0)))}),  # scaled by hand
    ("05.steps", {"answer": [2], "timeline": AFTER_A_SECOND}),
    ("05.steps", {"answer": [], "timeline": EMPTY}),
    ("05.delay", {"answer": 0, "timeline": AFTER_A_SECOND}),
    ("05.delay", {"answer": 20, "timeline": EMPTY}),
    ("05.scale-in", {"timeline": EMPTY}),
    ("05.scale-in", {"timeline": AFTER_A_SECOND}),
    (
        "05.scale-in",
        {"timeline": recording([(0, 2), (105, 8)], queue=((0, 0), (90, 60), (500, 0), (560, 0)))},
    ),
    ("05.no-failures", {"load": load()}),
    ("05.no-failures", {"load": load(ended="")}),
    ("05.no-failures", {"load": load("ok", "abandoned")}),
    ("05.behavior", {"plain": EMPTY, "behavior": EMPTY}),
    ("05.behavior", {"plain": recording([(0, 2)]), "behavior": FASTER}),
    ("05.behavior", {"plain": GOOD, "behavior": recording([(0, 2)])}),
    ("05.behavior", {"plain": GOOD, "behavior": HALF_A_CROWD}),
    ("05.keep-alive", {"kept": None, "fresh": {}}),
    ("05.keep-alive", {"kept": {"a": 0, "b": 0}, "fresh": {"a": 9, "b": 40}}),  # nobody asked
    ("05.keep-alive", {"kept": {"a": 3, "b": 0}, "fresh": {"a": 2, "b": 1}}),
    *hpa_queue_faults.TOO_EARLY,
    *hpa_queue_policy.TOO_EARLY,
]
"""Evidence that is empty, or was taken before there was anything to see: nobody's wrong answer."""
