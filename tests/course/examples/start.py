"""Notebook 00: what is right for its checks, and mutants of it, each with one thing wrong."""

from __future__ import annotations

import copy
from typing import Any

from labkit.evidence import Series, Timeline
from tests.course.mutants import Case

GPU_NODES: list[dict[str, Any]] = [
    {"metadata": {"name": f"gpu-node-{i}"}, "status": {"allocatable": {"cpu": "64", "nvidia.com/gpu": "4"}}}
    for i in (1, 2, 3)
]
NODES = [{"metadata": {"name": "cpu-node-1"}, "status": {"allocatable": {"cpu": "32"}}}, *GPU_NODES]


def pod(resources: dict[str, Any], *, phase: str = "Running", node: str = "cpu-node-1") -> dict[str, Any]:
    containers = [{"name": "x", "resources": resources}]
    return {"spec": {"nodeName": node, "containers": containers}, "status": {"phase": phase}}


COFFEE = pod({"limits": {"example.com/coffee": "2"}, "requests": {"example.com/coffee": "2"}})
ONE_GPU = pod({"limits": {"nvidia.com/gpu": "1"}, "requests": {"nvidia.com/gpu": "1"}})
ALL = {"spec": {"replicas": 12}, "status": {"replicas": 12, "readyReplicas": 12}}


def recording(*desired: float, ready: float = 10) -> Timeline:
    steps = tuple((30.0 * i, value) for i, value in enumerate(desired))
    return Timeline(15, "test", (Series("desired", "", steps), Series("ready", "", ((0, 2), (90, ready)))))


def changed(thing: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    new = copy.deepcopy(thing)
    *inner, last = path.split(".")
    here = new
    for key in inner:
        here = here[key]
    here[last] = value
    return new


PASSING: list[Case] = [
    ("00.game", {"timeline": recording(2, 4, 8, 10, 9, 2)}),
    ("00.game", {"timeline": recording(2, 6, 10, 2)}),
    ("00.capacity", {"answer": 12, "nodes": NODES}),
    ("00.coffee", {"pod": COFFEE}),
    ("00.mended", {"pod": ONE_GPU}),
    ("00.who", {"half": "API server", "unequal": "kube-apiserver", "thirteenth": "kube-scheduler"}),
    ("00.who", {"half": "The API-Server", "unequal": "the apiserver", "thirteenth": "the scheduler"}),
    ("00.never", {"answer": "cpu-node-1", "nodes": NODES}),
    ("00.never", {"answer": ["cpu-node-1"], "nodes": NODES}),
    ("00.idle", {"answer": 1, "used": 0.0, "free": 276408.0}),
    ("00.idle", {"answer": 0.25, "used": 75.0, "free": 25.0}),
    ("00.all-placed", {"deployment": ALL, "nodes": NODES}),
]

MUTANTS: list[Case] = [
    ("00.game", {"timeline": recording(2, 4, 8, 10)}),
    ("00.game", {"timeline": recording(2, 4, 2)}),
    ("00.game", {"timeline": recording(2, 10, 2, ready=2)}),
    ("00.game", {"timeline": recording(10, 2)}),
    ("00.capacity", {"answer": 13, "nodes": NODES}),
    ("00.capacity", {"answer": 16, "nodes": NODES}),
    ("00.capacity", {"answer": 4, "nodes": NODES}),  # one node
    ("00.capacity", {"answer": 3, "nodes": NODES}),  # nodes
    ("00.capacity", {"answer": "many", "nodes": NODES}),
    ("00.coffee", {"pod": None}),
    ("00.coffee", {"pod": pod({})}),
    ("00.coffee", {"pod": pod({"limits": {"example.com/coffee": "1"}})}),
    ("00.coffee", {"pod": changed(COFFEE, "status.phase", "Pending")}),
    ("00.mended", {"pod": None}),
    ("00.mended", {"pod": pod({})}),
    ("00.mended", {"pod": pod({"limits": {"nvidia.com/gpu": "2"}, "requests": {"nvidia.com/gpu": "2"}})}),
    ("00.mended", {"pod": changed(ONE_GPU, "status.phase", "Pending")}),
    ("00.who", {"half": "scheduler", "unequal": "API server", "thirteenth": "scheduler"}),
    ("00.who", {"half": "API server", "unequal": "scheduler", "thirteenth": "scheduler"}),
    ("00.who", {"half": "API server", "unequal": "API server", "thirteenth": "API server"}),
    ("00.who", {"half": "API server", "unequal": "the node", "thirteenth": "scheduler"}),
    ("00.never", {"answer": "gpu-node-1", "nodes": NODES}),
    ("00.never", {"answer": "the CPU node", "nodes": NODES}),
    ("00.never", {"answer": [n["metadata"]["name"] for n in NODES], "nodes": NODES}),
    ("00.never", {"answer": [n["metadata"]["name"] for n in GPU_NODES], "nodes": NODES}),
    ("00.idle", {"answer": 25, "used": 75.0, "free": 25.0}),  # per cent
    ("00.idle", {"answer": 276408.0, "used": 0.0, "free": 276408.0}),  # MiB
    ("00.idle", {"answer": "all of it", "used": 0.0, "free": 276408.0}),
    ("00.idle", {"answer": 0, "used": 0.0, "free": 276408.0}),
    ("00.idle", {"answer": 0.75, "used": 75.0, "free": 25.0}),
    ("00.all-placed", {"deployment": None, "nodes": NODES}),
    ("00.all-placed", {"deployment": changed(ALL, "spec.replicas", 13), "nodes": NODES}),
    ("00.all-placed", {"deployment": changed(ALL, "spec.replicas", 11), "nodes": NODES}),
    ("00.all-placed", {"deployment": changed(ALL, "status.replicas", 13), "nodes": NODES}),
    ("00.all-placed", {"deployment": changed(ALL, "status.readyReplicas", 11), "nodes": NODES}),
]
