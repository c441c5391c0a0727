"""Notebook 08: what is right for its checks, and mutants of it, each with one thing wrong."""

from __future__ import annotations

from typing import Any

from labkit.evidence.states import Span, States
from tests.course.mutants import Case

USED = {f"GPU-{i}": 4606.0 for i in range(9)}
TOTAL = {f"GPU-{i}": 23034.0 for i in range(9)}
IDLE = {"used": USED, "total": TOTAL}
BILL = {"gpus": 9, "share": 0.8, "usd_per_hour": 0.8048}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
BIG = {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "2"}}}]}
SMALL = {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}]}


def node(name: str, *, gpus: int = 4, closed: bool = False) -> dict[str, Any]:
    allocatable = {"cpu": "64"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    spec = {"unschedulable": True} if closed else {}
    return {"metadata": {"name": name}, "spec": spec, "status": {"allocatable": allocatable}}


def pod(app: str, on: str = "", *, ready: bool = True, spec: dict[str, Any] = SMALL) -> dict[str, Any]:
    where = {"nodeName": on} if on else {}
    return {
        "metadata": {"labels": {"app": app}},
        "spec": spec | where,
        "status": READY if ready and on else {},
    }


def small(*counts: int) -> list[dict[str, Any]]:
    """So many small models on gpu-node-1, -2 and -3."""
    return [pod("small-model", f"gpu-node-{i}") for i, count in enumerate(counts, 1) for _ in range(count)]


NODES = [*(node(f"gpu-node-{i}") for i in (1, 2, 3)), node("cpu-node-1", gpus=0)]
PENDING = [*small(3, 3, 3), pod("big-model", spec=BIG)]
MOVED = [*small(2, 4, 3), pod("big-model", "gpu-node-1", spec=BIG)]


def deployment(*args: str, limits: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    asked = {"nvidia.com/gpu": "1"} if limits is None else limits
    container = {"args": list(args), "resources": {"limits": asked}}
    return {"spec": {"template": {"spec": {"containers": [container], **spec}}}}


PACKED = deployment(schedulerName="bin-packing")
SHARED = deployment(
    "--model=x", "--gpu-memory-utilization=0.45", nodeSelector={"nvidia.com/gpu.replicas": "2"}
)
SHARING = {"nvidia.com/gpu.replicas": "2"}
BOTH = deployment(limits={"nvidia.com/gpu": "1", "nvidia.com/mig-1g.5gb": "1"})
SLICED = deployment(limits={"nvidia.com/mig-1g.5gb": "1"})


def states(**pods: list[str]) -> States:
    """What each pod went through, a minute in each state."""
    spans = {
        name.replace("_", "-"): tuple(Span(s, 60.0 * i, 60.0 * i + 60) for i, s in enumerate(seen))
        for name, seen in pods.items()
    }
    return States(15, spans)


STARTED, CRASHED = ["Pending", "Running"], ["Pending", "Running", "Error", "CrashLoopBackOff"]
CROWD = {f"tenant_{i}": STARTED for i in range(4)}
QUIET = {f"sliced_{i}": ["Running"] for i in range(6)}
TENANTS = [pod("tenant", "gpu-node-3")] * 5
SLICES = [pod("sliced", "a100")] * 6
WALLS = {"time_slicing": "nobody", "mig": "the hardware"}

PASSING: list[Case] = [
    ("08.waste", {"answer": 0.8, **IDLE}),
    ("08.waste", {"answer": "0.80", **IDLE}),
    ("08.price", {"answer": 4172, **BILL}),
    ("08.free", {"in_all": 3, "on_one_node": 1, "nodes": NODES, "pods": PENDING}),
    ("08.pending", {"answer": "Insufficient nvidia.com/gpu"}),
    ("08.placed", {"nodes": NODES, "pods": MOVED}),
    ("08.packed", {"deployment": PACKED, "pods": small(4, 1, 4)}),
    ("08.trade", {"spread": 3, "packed": 4}),
    ("08.one-oom", {"states": states(**CROWD, tenant_4=CRASHED)}),
    ("08.shared", {"deployment": SHARED, "pods": TENANTS}),
    ("08.wall", WALLS),
    ("08.wall", {"time_slicing": "Nothing at all", "mig": "the GPU itself"}),
    ("08.mig", {"deployment": SLICED, "pods": SLICES}),
    ("08.walled", {"states": states(**QUIET, too_large=CRASHED)}),
    ("08.walled", {"states": states(**QUIET, too_large=["Pending", "Running", "Running"])}),  # restarted
]

MUTANTS: list[Case] = [
    ("08.waste", {"answer": 0.2, **IDLE}),
    ("08.waste", {"answer": 80, **IDLE}),
    ("08.waste", {"answer": "most of it", **IDLE}),
    ("08.price", {"answer": 139, **BILL}),
    ("08.price", {"answer": 5215, **BILL}),
    ("08.price", {"answer": 464, **BILL}),
    ("08.price", {"answer": "a lot", **BILL}),
    ("08.free", {"in_all": 3, "on_one_node": 3, "nodes": NODES, "pods": PENDING}),
    ("08.free", {"in_all": 12, "on_one_node": 1, "nodes": NODES, "pods": PENDING}),
    ("08.free", {"in_all": 1, "on_one_node": 3, "nodes": NODES, "pods": PENDING}),
    ("08.pending", {"answer": "two free GPUs in all"}),
    ("08.pending", {"answer": "untolerated taint"}),
    ("08.pending", {"answer": "a GPU"}),
    ("08.placed", {"nodes": NODES, "pods": PENDING}),
    ("08.placed", {"nodes": [*NODES, node("gpu-node-4")], "pods": MOVED}),
    ("08.placed", {"nodes": NODES, "pods": MOVED[1:]}),
    ("08.placed", {"nodes": [node("gpu-node-1", closed=True), *NODES[1:]], "pods": MOVED}),
    ("08.packed", {"deployment": deployment(), "pods": small(3, 3, 3)}),
    ("08.packed", {"deployment": deployment(), "pods": small(4, 4, 1)}),
    ("08.packed", {"deployment": PACKED, "pods": small(3, 3, 3)}),
    ("08.packed", {"deployment": PACKED, "pods": small(4, 4)}),
    ("08.packed", {"deployment": deployment(schedulerName="binpacking"), "pods": []}),
    ("08.trade", {"spread": 3, "packed": 3}),
    ("08.trade", {"spread": 9, "packed": 4}),
    ("08.trade", {"spread": 3, "packed": 1}),
    ("08.trade", {"spread": 6, "packed": 5}),
    ("08.one-oom", {"states": states(**CROWD, tenant_4=STARTED)}),
    ("08.one-oom", {"states": states(**(CROWD | {"tenant_3": CRASHED}), tenant_4=CRASHED)}),
    ("08.one-oom", {"states": states(**dict.fromkeys(CROWD, CRASHED), tenant_4=CRASHED)}),
    ("08.shared", {"deployment": deployment(nodeSelector={"nvidia.com/gpu.replicas": "2"}), "pods": TENANTS}),
    ("08.shared", {"deployment": deployment("--gpu-memory-utilization=0.4"), "pods": TENANTS}),
    ("08.shared", {"deployment": SHARED, "pods": TENANTS[1:]}),
    (
        "08.shared",
        {"deployment": deployment("--gpu-memory-utilization=50", nodeSelector=SHARING), "pods": TENANTS},
    ),
    ("08.wall", WALLS | {"time_slicing": "the scheduler"}),
    ("08.wall", WALLS | {"mig": "the device plugin"}),
    ("08.wall", {"time_slicing": "the device plugin", "mig": "Kubernetes"}),
    ("08.mig", {"deployment": deployment(), "pods": SLICES}),
    ("08.mig", {"deployment": SLICED, "pods": SLICES[1:]}),
    ("08.mig", {"deployment": deployment(limits={}), "pods": SLICES}),
    ("08.mig", {"deployment": deployment(limits={"nvidia.com/mig-1g.10gb": "1"}), "pods": SLICES}),
    ("08.mig", {"deployment": BOTH, "pods": SLICES}),
    ("08.walled", {"states": states(**QUIET, too_large=STARTED)}),
    ("08.walled", {"states": states(**(QUIET | {"sliced_0": ["Running", "Running"]}), too_large=CRASHED)}),
    ("08.walled", {"states": states(**(QUIET | {"sliced_0": ["Running", "Error"]}), too_large=CRASHED)}),
]

TOO_EARLY: list[Case] = [
    ("08.waste", {"answer": 0.8, "used": {}, "total": {}}),
    ("08.price", {"answer": 0, "gpus": 9, "share": 0.0, "usd_per_hour": 0.8}),
    ("08.free", {"in_all": 0, "on_one_node": 0, "nodes": [node("cpu-node-1", gpus=0)], "pods": []}),
    ("08.one-oom", {"states": states(tenant_0=STARTED, tenant_1=CRASHED)}),
    ("08.one-oom", {"states": states(**{name: ["Pending"] for name in (*CROWD, "tenant_4")})}),
    ("08.walled", {"states": states(too_large=CRASHED)}),
    ("08.walled", {"states": states(**QUIET)}),
]
"""Evidence that is empty, or was taken before there was anything to see: nobody's wrong answer."""
