"""Notebook 12: what is right for its checks, and mutants of it, each with one thing wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labkit.evidence import Series, Timeline
from labkit.load.results import LoadResult
from labkit.load.rows import Row
from localcluster.api import Json

Asked = tuple[float, float, float, str]
"""When it was due, when its first token came, when it ended, and the pod."""


def load(rows: Sequence[Asked], *, outcome: str = "ok", what: str = "Poisson, seed 0") -> LoadResult:
    made = tuple(
        Row(i, due, due, end, outcome, first=first, pod=pod, tokens_out=100)
        for i, (due, first, end, pod) in enumerate(rows)
    )
    shape = {"kind": "open", "what": what, "seconds": 100}
    return LoadResult(Path("none"), {"clock": 15, "shape": shape}, 1000.0, made, (), "done")


def waited(*seconds: float) -> LoadResult:
    """One request every ten lab seconds, each with its time to first token."""
    return load([(10.0 * i, 10.0 * i + wait, 10.0 * i + wait + 5, "a") for i, wait in enumerate(seconds)])


# Two places a server. The third waits for 8 s while b is idle, the fourth finds a place at b.
VAIN = load([(0, 0.1, 10, "a"), (0, 0.1, 10, "a"), (2, 10, 16, "a"), (3, 3.1, 9, "b"), (40, 40.1, 46, "b")])
RANDOM, PICKED = waited(1, 1, 40, 1), waited(1, 1, 10, 1)
HIDDEN = load([(i, i + 1, i + 6, "a" if i % 4 else "b") for i in range(20)])
SPREAD = load([(i, i + 1, i + 6, "abcd"[i % 4]) for i in range(20)])
KEPT = load([(0, 1, 9, "a"), (50, 120, 130, "a"), (90, 150, 160, "a"), (110, 111, 120, "new")])
MOVED = load([(0, 1, 9, "a"), (50, 110, 120, "new"), (90, 111, 121, "new"), (109, 110, 120, "new")])


def held(*points: float) -> Timeline:
    series = Series("gateway queue", "requests", tuple((15.0 * i, value) for i, value in enumerate(points)))
    return Timeline(15, "test", (series,), began=1000.0)


def replicas(*steps: tuple[float, float]) -> Timeline:
    return Timeline(15, "test", (Series("desired", "replicas", steps),), began=1000.0)


WOKEN = replicas((0, 4), (60, 0), (310, 1))
FIRST = load([(300, 440, 446, "a"), (310, 441, 447, "a")])
LOST = load([(300, 300, 330, "")], outcome="http_503")
NEVER = load([(300, 300, 760, "")], outcome="abandoned")
NIGHT = {"load": FIRST, "run": WOKEN}


def objective(name: str, priority: int) -> Json:
    return {"metadata": {"name": name}, "spec": {"priority": priority, "poolRef": {"name": "llm-pool"}}}


CHAT_FIRST = [objective("batch", 0), objective("chat", 10)]
MEDIANS = {"objectives": CHAT_FIRST, "chat": 32.0, "batch": 79.0}


def pool(port: int = 8000, **labels: str) -> Json:
    return {"spec": {"selector": {"matchLabels": labels}, "targetPorts": [{"number": port}]}}


def mean(queues: list[float], threshold: float) -> float:
    return sum(queues) / len(queues) / threshold


def capped(queues: list[float], threshold: float) -> float:
    return sum(min(1.0, queue / threshold) for queue in queues) / len(queues)


def fullest(queues: list[float], threshold: float) -> float:
    return max(queues) / threshold


def added(queues: list[float], threshold: float) -> float:
    return sum(queues) / threshold


BLAMED = {"queue": "vllm:num_requests_waiting", "cache": "vllm:kv_cache_usage_perc", "blind": 0.7}
BY_LOAD = {name: BLAMED[name] for name in ("queue", "cache")}
VALVE = {"held": 36.0, "shorter": False, "peak": 36.0, "plain": 51.0, "valve": 60.0}
EVICTED = load([(0, 45, 45, "")], outcome="http_503")
REJECTED = load([(20, 20, 20, "")], outcome="http_429")
AWAY = {"evicted": "defaultRequestTTL", "rejected": "maxRequests", "short": EVICTED, "small": REJECTED}

PASSING: list[tuple[str, dict[str, Any]]] = [
    ("12.random", {"answer": 0.398, "vain": 0.4}),
    ("12.random", {"answer": 0.2, "load": VAIN}),
    ("12.epp", {"answer": 34.15 / 8.65, "random": RANDOM, "picked": PICKED}),
    ("12.contract", BLAMED),
    ("12.contract", BY_LOAD | {"load": HIDDEN}),
    ("12.moved", VALVE),
    ("12.moved", VALVE | {"valve": 51.0}),
    ("12.valve", {"saturation": mean}),
    ("12.mended", {"mine": 54.0, "plain": 52.0, "peak": 9.0}),
    ("12.priority", MEDIANS),
    ("12.held", NIGHT),
    ("12.late", {"answer": 22, "kept": 0, "moved": 22}),
    ("12.late", {"answer": 2, "bound": KEPT, "free": MOVED}),
    ("12.pool", {"answer": "selector"}),
    ("12.pool", {"answer": "matchLabels"}),
    ("12.pool-mended", {"pool": pool(app="llm-model")}),
    ("12.port", {"answer": "targetPorts"}),
    ("12.port-mended", {"pool": pool(app="llm-model")}),
    ("12.turned-away", AWAY),
    ("12.turned-away", AWAY | {"evicted": "TTL", "rejected": "max requests"}),
]

MUTANTS: list[tuple[str, dict[str, Any]]] = [
    ("12.random", {"answer": 0.8, "vain": 0.4}),
    ("12.random", {"answer": 0.4, "load": VAIN}),
    ("12.random", {"answer": 20, "load": VAIN}),  # per cent
    ("12.random", {"answer": 1, "load": VAIN}),  # how many
    ("12.random", {"answer": "few", "load": VAIN}),
    ("12.epp", {"answer": 8.65 / 34.15, "random": RANDOM, "picked": PICKED}),
    ("12.epp", {"answer": 1.0, "random": RANDOM, "picked": PICKED}),  # the medians'
    ("12.epp", {"answer": "p95", "random": RANDOM, "picked": PICKED}),
    ("12.contract", BLAMED | {"queue": "vllm:num_requests_waiting{}"}),
    ("12.contract", BLAMED | {"queue": "vllm:num_requests_running"}),
    ("12.contract", BLAMED | {"cache": "vllm:cache_config_info"}),
    ("12.moved", VALVE | {"held": 12.0}),
    ("12.moved", VALVE | {"held": "many"}),
    ("12.moved", VALVE | {"shorter": True}),
    ("12.moved", VALVE | {"shorter": "no"}),
    ("12.valve", {"saturation": capped}),
    ("12.valve", {"saturation": fullest}),
    ("12.valve", {"saturation": added}),
    ("12.valve", {"saturation": 3.75}),
    ("12.mended", {"mine": 162.0, "plain": 52.0, "peak": 79.0}),
    ("12.mended", {"mine": 116.0, "plain": 52.0, "peak": 56.0}),  # threshold 2
    ("12.mended", {"mine": 52.0, "plain": 52.0, "peak": 0.0}),
    ("12.priority", MEDIANS | {"objectives": [objective("batch", 0), objective("chat", 0)]}),
    ("12.priority", MEDIANS | {"objectives": [objective("batch", 10), objective("chat", 0)]}),
    ("12.priority", MEDIANS | {"objectives": [objective("chat", 10)]}),
    ("12.priority", MEDIANS | {"chat": 75.0}),
    ("12.held", NIGHT | {"run": replicas((0, 4), (60, 0))}),
    ("12.held", {"load": NEVER, "run": replicas((0, 4), (60, 0))}),
    ("12.held", NIGHT | {"load": LOST}),
    ("12.held", NIGHT | {"load": load([(300, 301, 306, "a")])}),
    ("12.late", {"answer": 3, "bound": KEPT, "free": MOVED}),
    ("12.late", {"answer": 0, "bound": KEPT, "free": MOVED}),
    ("12.late", {"answer": "all", "bound": KEPT, "free": MOVED}),
    ("12.pool", {"answer": "maxRequests"}),
    ("12.pool", {"answer": "targetPorts"}),
    ("12.pool", {"answer": "the picker"}),
    ("12.pool-mended", {"pool": pool(app="llm-server")}),
    ("12.pool-mended", {"pool": pool()}),
    ("12.pool-mended", {"pool": None}),
    ("12.port", {"answer": "selector"}),
    ("12.port", {"answer": "metricsStalenessThreshold"}),
    ("12.port", {"answer": 8080}),
    ("12.port-mended", {"pool": pool(8080, app="llm-model")}),
    ("12.port-mended", {"pool": pool(80, app="llm-model")}),
    ("12.port-mended", {"pool": None}),
    ("12.turned-away", AWAY | {"evicted": "maxRequests"}),
    ("12.turned-away", AWAY | {"rejected": "defaultRequestTTL"}),
    ("12.turned-away", AWAY | {"evicted": "503"}),
]

NOBODY = load([])

TOO_EARLY: list[tuple[str, dict[str, Any]]] = [
    ("12.epp", {"answer": 2, "random": RANDOM, "picked": waited(1, 1, 40)}),
    ("12.contract", BY_LOAD | {"load": SPREAD}),
    ("12.moved", VALVE | {"peak": 0.0}),
    ("12.held", NIGHT | {"load": NOBODY}),
    ("12.held", NIGHT | {"run": replicas((0, 4))}),
    ("12.late", {"answer": 2, "bound": MOVED, "free": MOVED}),
    ("12.late", {"answer": 0, "bound": KEPT, "free": KEPT}),
    ("12.turned-away", AWAY | {"short": FIRST}),
]
"""Evidence that is empty, or was taken before there was anything to see: nobody's wrong answer."""
