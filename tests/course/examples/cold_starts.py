"""Notebook 07: what is right for its checks, and mutants of it, each with one thing wrong."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from labkit.evidence import Series, Timeline
from labkit.evidence.cold_start import ColdStart
from labkit.evidence.states import Span
from labkit.load import LoadResult, Row
from tests.course.mutants import Case

SECONDS = {
    "schedule": 1,
    "download": 50,
    "unpack": 100,
    "create": 5,
    "import": 20,
    "weights": 32,
    "compile": 40,
    "warm-up": 19,
    "ready": 3,
    "first token": 2,
}


def start(**other: float | None) -> ColdStart:
    """A start with other lengths; a phase of None was not seen."""
    spans, now = [], 0.0
    for name, seconds in {**SECONDS, **other}.items():
        if seconds is not None:
            spans.append(Span(name, now, now + seconds))
            now += seconds
    return ColdStart("pod", tuple(spans))


FULL, SMALL = start(), start(download=20, unpack=40)
THERE, LOCAL = start(download=0, unpack=1), start(download=0, unpack=1, weights=6)
STARTS = {"as it is": FULL, "small image": SMALL, "pre-pulled": THERE, "local weights": LOCAL}


def load(ok: int = 150, **failed: int) -> LoadResult:
    ends = ["ok"] * ok + [kind for kind, count in failed.items() for _ in range(count)]
    rows = tuple(Row(i, i, i, i + 1, outcome, version="v1") for i, outcome in enumerate(ends))
    return LoadResult(Path("none"), {"clock": 15}, 0.0, rows, (), "done")


def desired(*steps: tuple[float, float]) -> Timeline:
    return Timeline(15, "test", (Series("desired", "", ((0.0, 2.0), *steps)),)).with_event(
        60, "the crowd arrives"
    )


def node(*, gpu: bool) -> dict[str, Any]:
    return {"metadata": {"labels": {"nvidia.com/gpu.present": "true"} if gpu else {}}}


FULL_IMAGE = "registry.lab:5000/llm-inference:full"
NODES = [node(gpu=True)] * 3 + [node(gpu=False)]
CONTAINER = "spec.template.spec.containers.0"
HOLDER: dict[str, Any] = {
    "spec": {"template": {"spec": {"containers": [{"image": "registry.lab:5000/llm-inference:small"}]}}},
    "status": {"desiredNumberScheduled": 3, "numberReady": 3},
}
CLASS = {"value": -10}
PLACEHOLDER: dict[str, Any] = {
    "spec": {
        "template": {
            "spec": {
                "priorityClassName": "placeholder",
                "terminationGracePeriodSeconds": 0,
                "containers": [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}],
            }
        }
    }
}
ONE_GPU = {"nvidia.com/gpu": "1"}
SPARE = "spec.template.spec"
WAITING = [{"metadata": {"labels": {"app": "spare"}}, "spec": {}}]
PLACED = [{"metadata": {"labels": {"app": "spare"}}, "spec": {"nodeName": "gpu-node-1"}}]
PROBE = {"httpGet": {"path": "/health"}, "periodSeconds": 5, "failureThreshold": 60}
SERVER: dict[str, Any] = {
    "spec": {"template": {"spec": {"containers": [{"startupProbe": PROBE}]}}},
    "status": {"readyReplicas": 1},
}
BOUGHT = {"small_image": "unpack", "prepulled": "pull", "local_weights": "weights", "spare": "schedule"}


def pods(restarts: int) -> list[dict[str, Any]]:
    return [
        {
            "metadata": {"labels": {"app": "llm-model"}},
            "status": {"containerStatuses": [{"restartCount": restarts}]},
        }
    ]


def changed(thing: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The object with another value at a path."""
    new = copy.deepcopy(thing)
    *inner, last = path.split(".")
    here: Any = new
    for key in inner:
        here = here[int(key)] if key.isdigit() else here[key]
    here[last] = value
    return new


def probed(threshold: int) -> dict[str, Any]:
    return changed(SERVER, f"{CONTAINER}.startupProbe", PROBE | {"failureThreshold": threshold})


SLOW, FAST = desired((100, 4), (115, 8)), desired((101, 3), (116, 4))
EARLY = desired((75, 4), (90, 10))
MEASURED = {"rate": 1.5, "capacity": 1.2, "start": 120.0}

PASSING: list[Case] = [
    ("07.phases", {"start": FULL}),
    ("07.longest", {"answer": "unpack", "start": FULL}),
    ("07.longest", {"answer": " Compile", "start": LOCAL}),
    ("07.probe", {"runs": {"no probe": load(http_503=40, reset=3), "readiness probe": load()}}),
    ("07.prepull", {"daemonset": HOLDER, "nodes": NODES}),
    ("07.cures", {"starts": STARTS}),
    ("07.cures", {"starts": STARTS | {"spare place": start(schedule=9)}}),
    ("07.bought", BOUGHT),
    ("07.bought", BOUGHT | {"small_image": "download", "prepulled": "Unpack"}),
    ("07.spare", {"priority": CLASS, "deployment": PLACEHOLDER}),
    ("07.preempted", {"start": start(schedule=12), "pods": WAITING}),
    ("07.overshoot", {"slow": SLOW, "fast": FAST}),
    ("07.piled-up", {"answer": 36, **MEASURED}),
    ("07.piled-up", {"answer": "38", **MEASURED}),
    ("07.earlier", {"late": SLOW, "early": EARLY}),
    ("07.earlier", {"late": SLOW, "early": desired((105, 6), (120, 10))}),
    ("07.patience", {"answer": 24, "start": 120.0, "period": 5}),
    ("07.patience", {"answer": 25.0, "start": 120.0, "period": 5}),
    ("07.mended", {"deployment": SERVER, "pods": pods(0), "start": 120.0}),
]

NO_CLASS = changed(PLACEHOLDER, f"{SPARE}.priorityClassName", None)
OTHER_CLASS = changed(PLACEHOLDER, f"{SPARE}.priorityClassName", "spare")
GRACE = changed(PLACEHOLDER, f"{SPARE}.terminationGracePeriodSeconds", 30)
LONGER = start(download=0, unpack=1, weights=6, compile=200)


def held_on(there: int, ready: int) -> dict[str, Any]:
    return changed(HOLDER, "status", {"desiredNumberScheduled": there, "numberReady": ready})


MUTANTS: list[Case] = [
    ("07.phases", {"start": start(weights=None)}),
    ("07.phases", {"start": start(download=None, unpack=None)}),
    ("07.phases", {"start": start(**dict.fromkeys(["schedule", "download", "unpack", "create", "import"]))}),
    ("07.longest", {"answer": "weights", "start": FULL}),
    ("07.longest", {"answer": "pull", "start": FULL}),
    ("07.longest", {"answer": "download", "start": FULL}),
    ("07.longest", {"answer": "the network", "start": FULL}),
    ("07.probe", {"runs": {"no probe": load(), "readiness probe": load()}}),
    ("07.probe", {"runs": {"readiness probe": load(), "no probe": load(http_503=40)}}),
    ("07.probe", {"runs": {"no probe": load(http_503=40), "readiness probe": load(http_503=1)}}),
    ("07.prepull", {"daemonset": None, "nodes": NODES}),
    ("07.prepull", {"daemonset": changed(HOLDER, f"{CONTAINER}.image", FULL_IMAGE), "nodes": NODES}),
    ("07.prepull", {"daemonset": held_on(4, 4), "nodes": NODES}),
    ("07.prepull", {"daemonset": held_on(0, 0), "nodes": NODES}),  # a label that no node has
    ("07.prepull", {"daemonset": held_on(1, 1), "nodes": NODES}),  # nodeName, or a host's label
    ("07.prepull", {"daemonset": held_on(3, 2), "nodes": NODES}),
    ("07.prepull", {"daemonset": changed(HOLDER, f"{CONTAINER}.resources", {"limits": ONE_GPU}),
     "nodes": NODES}),
    ("07.cures", {"starts": STARTS | {"small image": THERE}}),
    ("07.cures", {"starts": STARTS | {"pre-pulled": SMALL}}),
    ("07.cures", {"starts": STARTS | {"local weights": THERE}}),
    ("07.bought", BOUGHT | {"small_image": "weights"}),
    ("07.bought", BOUGHT | {"local_weights": "unpack"}),
    ("07.bought", BOUGHT | {"spare": "weights"}),
    ("07.bought", BOUGHT | {"prepulled": "compile"}),
    ("07.spare", {"priority": None, "deployment": PLACEHOLDER}),
    ("07.spare", {"priority": {"value": 0}, "deployment": PLACEHOLDER}),
    ("07.spare", {"priority": {"value": 10}, "deployment": PLACEHOLDER}),
    ("07.spare", {"priority": CLASS, "deployment": NO_CLASS}),
    ("07.spare", {"priority": CLASS, "deployment": OTHER_CLASS}),
    ("07.spare", {"priority": CLASS, "deployment": GRACE}),
    ("07.spare", {"priority": CLASS, "deployment": changed(PLACEHOLDER, f"{CONTAINER}.resources", {})}),
    ("07.preempted", {"start": start(schedule=12), "pods": PLACED}),
    ("07.preempted", {"start": start(schedule=45), "pods": WAITING}),
    ("07.preempted", {"start": start(schedule=90), "pods": PLACED}),
    ("07.overshoot", {"slow": FAST, "fast": SLOW}),
    ("07.overshoot", {"slow": desired((100, 3)), "fast": desired((100, 10))}),
    ("07.overshoot", {"slow": desired((100, 5)), "fast": desired((100, 6))}),
    ("07.piled-up", {"answer": 180, **MEASURED}),
    ("07.piled-up", {"answer": 144, **MEASURED}),
    ("07.piled-up", {"answer": 0.3, **MEASURED}),
    ("07.piled-up", {"answer": 0.6, **MEASURED}),
    ("07.piled-up", {"answer": -36, **MEASURED}),
    ("07.piled-up", {"answer": "some", **MEASURED}),
    ("07.earlier", {"late": SLOW, "early": desired((130, 4), (150, 8))}),
    ("07.earlier", {"late": EARLY, "early": SLOW}),
    ("07.earlier", {"late": desired((100, 10)), "early": desired((100, 3), (300, 10))}),
    ("07.patience", {"answer": 9, "start": 120.0, "period": 5}),
    ("07.patience", {"answer": 120, "start": 120.0, "period": 5}),
    ("07.patience", {"answer": 60, "start": 120.0, "period": 5}),
    ("07.patience", {"answer": "two minutes", "start": 120.0, "period": 5}),
    ("07.mended", {"deployment": probed(9), "pods": pods(0), "start": 120.0}),
    ("07.mended", {"deployment": probed(25), "pods": pods(0), "start": 120.0}),
    ("07.mended", {"deployment": probed(600), "pods": pods(0), "start": 120.0}),
    ("07.mended", {"deployment": changed(SERVER, f"{CONTAINER}.startupProbe", None), "pods": pods(0),
     "start": 120.0}),
    ("07.mended", {"deployment": SERVER, "pods": pods(2), "start": 120.0}),
    ("07.mended", {"deployment": changed(SERVER, "status.readyReplicas", 0), "pods": pods(0), "start": 120}),
]  # fmt: skip

NEVER_OUT = desired((300, 2))

TOO_EARLY: list[Case] = [
    ("07.probe", {"runs": {}}),
    ("07.probe", {"runs": {"no probe": load(http_503=40), "readiness probe": load(ok=10)}}),
    ("07.cures", {"starts": {"as it is": FULL}}),
    ("07.cures", {"starts": STARTS | {"small image": ColdStart("pod", ())}}),
    ("07.preempted", {"start": start(schedule=12), "pods": []}),
    ("07.overshoot", {"slow": SLOW, "fast": NEVER_OUT}),
    ("07.overshoot", {"slow": NEVER_OUT, "fast": NEVER_OUT}),
    ("07.piled-up", {"answer": 0, "rate": 1.5, "capacity": 1.2, "start": 0.0}),
    ("07.earlier", {"late": SLOW, "early": NEVER_OUT}),
    ("07.patience", {"answer": 0, "start": 0.0, "period": 5}),
    ("07.mended", {"deployment": SERVER, "pods": pods(0), "start": 0.0}),
]
"""Evidence that is empty, or was taken before there was anything to see: nobody's wrong answer."""
