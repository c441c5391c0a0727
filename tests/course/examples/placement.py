"""Notebook 09: what is right for its checks, and mutants of it, each with one thing wrong."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from labkit.evidence import Series, Timeline
from labkit.evidence.pace import Pace
from labkit.evidence.timeline import Event
from localcluster.api import Json

GPU, PRESENT = "nvidia.com/gpu", "nvidia.com/gpu.present"
TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}


def condition(status: str) -> Json:
    return {"conditions": [{"type": "Ready", "status": status}]}


def node(name: str, *, pool: str = "", ready: str = "True", taints: tuple[Json, ...] = ()) -> Json:
    gpus = {GPU: "4"} if name.startswith("gpu") else {}
    labels = ({PRESENT: "true"} if gpus else {}) | ({"pool": pool} if pool else {})
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": list(taints)},
        "status": {"allocatable": {"cpu": "64", **gpus}, **condition(ready)},
    }


def pod(name: str, where: str, *, app: str = "llm-model", ready: bool = True, **meta: Any) -> Json:
    waiting = {"type": "PodScheduled", "status": "False", "message": "0/4 nodes: 3 Insufficient cpu."}
    status = condition("True" if ready else "False") if where else {"conditions": [waiting]}
    spec = {"nodeName": where} if where else {}
    phase = "Running" if where else "Pending"
    return {
        "metadata": {"name": name, "labels": {"app": app}, **meta},
        "spec": spec,
        "status": {"phase": phase, **status},
    }


def on(*counts: int, ready: bool = True, waiting: int = 0) -> list[Json]:
    """Servers by their number on gpu-node-1, 2, 3 and cpu-node-1, and some without a node."""
    names = ("gpu-node-1", "gpu-node-2", "gpu-node-3", "cpu-node-1")
    there = [name for name, count in zip(names, counts, strict=False) for _ in range(count)]
    return [pod(f"s{i}", name, ready=ready) for i, name in enumerate([*there, *[""] * waiting])]


def deployment(replicas: int, *, gpu: bool = True, **spec: Any) -> Json:
    limits = {GPU: 1} if gpu else {}
    template = {"spec": {**spec, "containers": [{"resources": {"limits": limits}}]}}
    return {"spec": {"replicas": replicas, "template": template}}


def rules(*expressions: tuple[str, str, str]) -> Json:
    return {"matchExpressions": [{"operator": o, "key": k, "values": [v]} for o, k, v in expressions]}


def affinity(*required: tuple[str, str, str], preferred: tuple[str, str, str] | None) -> Json:
    wishes = [{"weight": 100, "preference": rules(preferred)}] if preferred else []
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [rules(*required)]},
            "preferredDuringSchedulingIgnoredDuringExecution": wishes,
        }
    }


def constraint(**more: Any) -> list[Json]:
    return [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
            **more,
        }
    ]


ALL = [node(n) for n in ("gpu-node-1", "gpu-node-2", "gpu-node-3", "cpu-node-1")]
POOLS = [node("gpu-node-1", pool="inference"), node("gpu-node-2", pool="training"), *ALL[2:]]
TAINTED = [*(node(f"gpu-node-{i}", taints=(TAINT,)) for i in (1, 2, 3)), ALL[3]]
LOST = [ALL[0], node("gpu-node-2", ready="Unknown"), *ALL[2:]]
NOT, RATHER = ("NotIn", "pool", "training"), ("In", "pool", "inference")
SELECTED = deployment(4, nodeSelector={PRESENT: "true"})
AFFINE = deployment(6, affinity=affinity(NOT, preferred=RATHER))
TOLERANT = deployment(2, tolerations=[{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}])
SPREAD = deployment(6, nodeSelector={PRESENT: "true"}, topologySpreadConstraints=constraint())
HONOR = deployment(6, topologySpreadConstraints=constraint(nodeTaintsPolicy="Honor"))
DYING = pod("s9", "gpu-node-2", ready=False, deletionTimestamp="2026-01-01T00:00:00Z")
BATCH = pod("b1", "cpu-node-1", app="batch")


def recorded(*ready: tuple[float, float]) -> Timeline:
    return Timeline(15, "test", (Series("ready", "", ready),), (Event(30.0, "power lost"),))


RUN = recorded((0, 6), (30, 6), (765, 6), (780, 4), (1100, 6))
FOUR = ["s0", "s1", "s2", "s3"]
THOUSAND = Pace(
    created=tuple(i / 500 for i in range(1000)),
    bound=tuple(0.1 + i / 200 for i in range(1000)),
    running=tuple(0.2 + i / 200 for i in range(1000)),
)
SMOOTH = replace(THOUSAND, bound=tuple(0.01 + t for t in THOUSAND.created))
PROMISES = {"selector": "stays", "affinity": "stays", "no_schedule": "stays", "no_execute": "leaves"}


def stranded(**other: Any) -> Json:
    return {"lacking": "cpu", "free_gpus": 12, "pods": [BATCH, *on(waiting=2)]} | other


def placed(made: Json, pods: list[Json], nodes: list[Json]) -> Json:
    return {"deployment": made, "pods": pods, "nodes": nodes}


def without(made: Json, field: str) -> Json:
    new = copy.deepcopy(made)
    del new["spec"]["template"]["spec"][field]
    return new


def no_gpu(made: Json) -> Json:
    new = copy.deepcopy(made)
    new["spec"]["template"]["spec"]["containers"][0]["resources"] = {}
    return new


PASSING: list[tuple[str, dict[str, Any]]] = [
    ("09.handed", {"on_gpu_nodes": 0, "handed_by": "limits", "pods": on(1, 1, 1, 1, ready=False)}),
    ("09.selector", placed(SELECTED, on(2, 1, 1), ALL)),
    ("09.affinity", placed(AFFINE, on(4, 0, 2), POOLS)),
    ("09.affinity", placed(AFFINE, on(3, 0, 3), POOLS)),  # a wish is only a wish
    ("09.stranded", stranded()),
    ("09.toleration", placed(TOLERANT, [*on(1, 1), BATCH], TAINTED)),
    ("09.promises", PROMISES),
    ("09.domains", {"answer": 3, "counted": 4, "pods": on(1, 1, 1, waiting=3)}),
    ("09.spread", placed(SPREAD, on(2, 2, 2), ALL)),
    ("09.survivors", {"timeline": RUN, "answering": FOUR}),
    ("09.noticed", {"answer": 50, "timeline": RUN}),
    ("09.lost-node", placed(HONOR, [*on(3, 0, 3), DYING], LOST)),
    ("09.thousand", {"pace": THOUSAND}),
    ("09.rate", {"answer": 195, "pace": THOUSAND}),
    ("09.bottleneck", {"answer": "scheduler", "pace": THOUSAND}),
    ("09.throttled", {"answer": 20}),
    ("09.throttled", {"answer": 18}),
]

MUTANTS: list[tuple[str, dict[str, Any]]] = [
    ("09.handed", {"on_gpu_nodes": 3, "handed_by": "limits", "pods": on(1, 1, 1, 1, ready=False)}),
    ("09.handed", {"on_gpu_nodes": 0, "handed_by": "the node's label", "pods": on(1, 1, ready=False)}),
    ("09.handed", {"on_gpu_nodes": "none", "handed_by": "limits", "pods": on(1, 1, ready=False)}),
    ("09.handed", {"on_gpu_nodes": 0, "handed_by": "the kubelet", "pods": on(1, 1, ready=False)}),
    ("09.selector", placed(without(SELECTED, "nodeSelector"), on(2, 1, 1), ALL)),
    ("09.selector", placed(no_gpu(SELECTED), on(2, 1, 1), ALL)),
    ("09.selector", placed(SELECTED, on(2, 1, 1, ready=False), ALL)),
    ("09.selector", placed(SELECTED, on(1, 1, 1, 1), ALL)),
    ("09.affinity", placed(without(AFFINE, "affinity"), on(4, 0, 2), POOLS)),
    ("09.affinity", placed(deployment(6, affinity=affinity(NOT, preferred=None)), on(4, 0, 2), POOLS)),
    ("09.affinity", placed(deployment(6, affinity=affinity(RATHER, preferred=NOT)), on(4, 0, 2), POOLS)),
    ("09.affinity", placed(AFFINE, on(2, 2, 2), POOLS)),
    ("09.stranded", stranded(lacking="nvidia.com/gpu")),
    ("09.stranded", stranded(free_gpus=0)),
    ("09.stranded", stranded(free_gpus=4)),
    ("09.stranded", stranded(lacking="memory")),
    ("09.toleration", placed(without(TOLERANT, "tolerations"), on(1, 1), TAINTED)),
    ("09.toleration", placed(TOLERANT, on(1, 1), ALL)),
    ("09.toleration", placed(TOLERANT, on(waiting=2), TAINTED)),
    ("09.toleration", placed(TOLERANT, [*on(1, 1), pod("b1", "gpu-node-3", app="batch")], TAINTED)),
    *[("09.promises", PROMISES | {key: "leaves"}) for key in ("selector", "affinity", "no_schedule")],
    ("09.promises", PROMISES | {"no_execute": "stays"}),
    ("09.domains", {"answer": 6, "counted": 4, "pods": on(1, 1, 1, waiting=3)}),
    ("09.domains", {"answer": 3, "counted": 3, "pods": on(1, 1, 1, waiting=3)}),
    ("09.domains", {"answer": 4, "counted": 3, "pods": on(1, 1, 1, waiting=3)}),
    ("09.spread", placed(without(SPREAD, "topologySpreadConstraints"), on(2, 2, 2), ALL)),
    ("09.spread", placed(SPREAD, on(4, 1, 1), ALL)),
    ("09.spread", placed(SPREAD, on(1, 1, 1, waiting=3), ALL)),
    ("09.spread", placed(no_gpu(SPREAD), on(2, 2, 2), ALL)),
    ("09.survivors", {"timeline": RUN, "answering": FOUR[:2]}),  # four stood on that node
    ("09.survivors", {"timeline": recorded((0, 6), (780, 3), (1100, 6)), "answering": FOUR}),
    ("09.survivors", {"timeline": recorded((0, 5), (780, 4), (1100, 6)), "answering": FOUR}),
    ("09.noticed", {"answer": 750, "timeline": RUN}),  # lab seconds
    ("09.noticed", {"answer": 5, "timeline": RUN}),
    ("09.noticed", {"answer": 2, "timeline": RUN}),  # the moment of the loss
    ("09.noticed", {"answer": "soon", "timeline": RUN}),
    ("09.lost-node", placed(SPREAD, [*on(2, 0, 2, waiting=2), DYING], LOST)),
    ("09.lost-node", placed(SPREAD, [*on(3, 0, 3), DYING], LOST)),
    ("09.lost-node", placed(without(HONOR, "topologySpreadConstraints"), [*on(3, 0, 3), DYING], LOST)),
    ("09.thousand", {"pace": replace(THOUSAND, running=THOUSAND.running[:-1])}),
    ("09.thousand", {"pace": replace(THOUSAND, created=THOUSAND.created[:-9])}),
    ("09.thousand", {"pace": replace(THOUSAND, bound=THOUSAND.bound[:900])}),
    ("09.rate", {"answer": 1000, "pace": THOUSAND}),
    ("09.rate", {"answer": 500, "pace": THOUSAND}),  # how fast they were created
    ("09.rate", {"answer": 5, "pace": THOUSAND}),
    ("09.rate", {"answer": 0.005, "pace": THOUSAND}),
    ("09.bottleneck", {"answer": "kubelet", "pace": THOUSAND}),
    ("09.bottleneck", {"answer": "scheduler", "pace": SMOOTH}),
    ("09.bottleneck", {"answer": "controller", "pace": THOUSAND}),
    ("09.bottleneck", {"answer": "etcd", "pace": THOUSAND}),
    ("09.throttled", {"answer": 1}),
    ("09.throttled", {"answer": 0.5}),
    ("09.throttled", {"answer": 0.05}),
    ("09.throttled", {"answer": 50_000}),
    ("09.throttled", {"answer": 25}),
]

NEVER = Pace((), (), ())

TOO_EARLY: list[tuple[str, dict[str, Any]]] = [
    ("09.handed", {"on_gpu_nodes": 0, "handed_by": "limits", "pods": []}),
    ("09.stranded", stranded(pods=[BATCH, *on(1, 1)])),
    ("09.domains", {"answer": 6, "counted": 7, "pods": on(2, 2, 2)}),
    ("09.domains", {"answer": 0, "counted": 1, "pods": []}),
    ("09.survivors", {"timeline": recorded((0, 6), (30, 6), (60, 6)), "answering": FOUR}),
    ("09.survivors", {"timeline": replace(RUN, events=()), "answering": FOUR}),
    ("09.noticed", {"answer": 0, "timeline": recorded((0, 6), (60, 6))}),
    ("09.noticed", {"answer": 50, "timeline": replace(RUN, events=())}),
    ("09.lost-node", placed(HONOR, on(2, 2, 2), ALL)),
    ("09.thousand", {"pace": NEVER}),
    ("09.rate", {"answer": 0, "pace": NEVER}),
    ("09.bottleneck", {"answer": "controller", "pace": replace(NEVER, created=(0.0,))}),
]
"""Evidence that is empty, or was taken before there was anything to see: nobody's wrong answer."""
