"""Notebook 10: what is right for its checks, and mutants of it, each with one thing wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labkit import course
from labkit.evidence import Series, Timeline
from labkit.kube.documents import load as documents
from labkit.load.results import LoadResult
from labkit.load.rows import Row
from localcluster.api import Json

MANIFESTS = course.root() / "manifests" / "10-production"
PARTS = {
    "announces": "NVIDIA device plugin",
    "labels": "GPU feature discovery",
    "measures": "DCGM exporter",
    "installs": "GPU operator",
}

GATEWAY = 'sum(inference_extension_flow_control_queue_size{inference_pool="llm-pool"})'
WAITING = 'sum(vllm:num_requests_waiting{namespace="llm-lab"})'


def keda(name: str = "solutions/keda.yaml") -> Json:
    [document] = documents(MANIFESTS / name)
    return document.obj


def changed(**metadata: Any) -> Json:
    made = keda()
    made["spec"]["triggers"][0]["metadata"].update(metadata)
    return made


def requests(in_time: int = 100, *, slow: int = 0, failed: int = 0, lag: float = 0.0) -> LoadResult:
    """Answers within 2 s, answers that took 30 s to begin, and requests that were refused."""
    kinds = ["ok"] * (in_time + slow) + ["refused"] * failed
    rows = tuple(
        Row(i, 1.0, 1.0 + lag, 60, kind, first=3 if i < in_time else 31, tokens_out=200)
        for i, kind in enumerate(kinds)
    )
    return LoadResult(Path("none"), {"clock": 15, "shape": {"seconds": 1200}}, 1000.0, rows, (), "done")


def recorded(gpus: float = 2, *, peak: float = 0) -> Timeline:
    """From 20 s before the load began."""
    held = ((0.0, gpus), *(((600.0, peak), (630.0, gpus)) if peak else ()), (1300.0, gpus))
    return Timeline(15, "test", (Series("gpus", "GPUs", held),), began=1000.0 - 20 / 15)


def desired(*steps: float) -> Timeline:
    points = tuple((30.0 * i, value) for i, value in enumerate(steps))
    return Timeline(15, "test", (Series("desired", "", points),))


def thirteen(ready: int) -> Json:
    return {"spec": {"replicas": 13}, "status": {"readyReplicas": ready}}


def nodes(count: int) -> list[Json]:
    ready = [{"type": "Ready", "status": "True"}]
    return [{"status": {"allocatable": {"nvidia.com/gpu": "4"}, "conditions": ready}} for _ in range(count)]


WATTS = Series("power", "W", ((0.0, 36.0), (500.0, 72.0), (1500.0, 72.0)))  # 25 Wh
BILL = {"run": recorded(), "load": requests(), "usd_per_hour": 0.9}  # 2,400 GPU-seconds
GRID = {"watts": WATTS, "pue": 1.2, "grams_per_kwh": 400}

PASSING: list[tuple[str, dict[str, Any]]] = [
    ("10.replaced", PARTS),
    ("10.replaced", PARTS | {"labels": "GFD", "installs": "driver container"}),
    ("10.node-minutes", {"answer": 6.4}),
    ("10.thirteenth", {"deployment": thirteen(13), "nodes": nodes(4)}),
    ("10.same-sum", {"answer": 5}),
    ("10.keda", {"manifest": keda()}),
    ("10.keda", {"manifest": changed(query=GATEWAY)}),
    (
        "10.keda",
        {"manifest": changed(query="sum(gateway_queued_requests)")},
    ),  # as this notebook once called it
    ("10.keda", {"manifest": changed(query=f"{GATEWAY} + ({WAITING} or vector(0))")}),  # always exported
    ("10.keda", {"manifest": changed(query=f"({WAITING} or vector(0))\n+ ({GATEWAY} or vector( 0 ))")}),
    ("10.to-zero", {"timeline": desired(1, 0)}),
    ("10.to-zero", {"timeline": desired(2, 1, 0)}),
    ("10.asleep", {"failed": 7, "counted_by": "the gateway", "load": requests(0, failed=7)}),
    ("10.capstone", {"run": recorded(), "load": requests()}),
    ("10.capstone", {"run": recorded(peak=6), "load": requests(95, slow=5)}),
    ("10.energy", {"answer": 25.0, "watts": WATTS}),
    ("10.cost", BILL | {"answer": 0.6}),
    ("10.carbon", GRID | {"answer": 12}),
]

MUTANTS: list[tuple[str, dict[str, Any]]] = [
    ("10.replaced", PARTS | {"announces": "GPU feature discovery"}),
    ("10.replaced", PARTS | {"labels": "device plugin"}),
    ("10.replaced", PARTS | {"measures": "Prometheus"}),
    ("10.replaced", PARTS | {"installs": "kubelet"}),
    ("10.node-minutes", {"answer": 2}),  # the model's start alone
    ("10.node-minutes", {"answer": 385}),  # seconds
    ("10.node-minutes", {"answer": "six"}),
    ("10.thirteenth", {"deployment": thirteen(12), "nodes": nodes(3)}),
    ("10.thirteenth", {"deployment": thirteen(12), "nodes": nodes(4)}),
    ("10.thirteenth", {"deployment": None, "nodes": nodes(4)}),
    ("10.same-sum", {"answer": 4}),
    ("10.same-sum", {"answer": 23}),
    ("10.same-sum", {"answer": 4.6}),
    ("10.keda", {"manifest": keda("exercises/keda.yaml")}),
    ("10.keda", {"manifest": keda("keda.yaml")}),
    ("10.keda", {"manifest": changed(query="sum(vllm:num_requests_waiting)")}),
    ("10.keda", {"manifest": changed(query=f"({GATEWAY} or vector(0)) + {WAITING}")}),
    ("10.keda", {"manifest": changed(query=f"{GATEWAY} or vector(0) + {WAITING} or vector(0)")}),
    ("10.keda", {"manifest": changed(activationThreshold="5")}),
    ("10.keda", {"manifest": changed(threshold="50")}),
    ("10.keda", {"manifest": "keda.yaml"}),
    ("10.to-zero", {"timeline": desired(1, 1)}),
    ("10.to-zero", {"timeline": desired(1, 0, 1)}),
    ("10.to-zero", {"timeline": desired(2, 1, 1)}),
    ("10.asleep", {"failed": 0, "counted_by": "the gateway", "load": requests(0, failed=7)}),
    ("10.asleep", {"failed": 7, "counted_by": "the servers", "load": requests(0, failed=7)}),
    ("10.asleep", {"failed": 7, "counted_by": "the Service", "load": requests(0, failed=7)}),
    ("10.capstone", {"run": recorded(), "load": requests(90, slow=10)}),
    ("10.capstone", {"run": recorded(3), "load": requests()}),  # 3,600 GPU-seconds
    ("10.capstone", {"run": recorded(1, peak=7), "load": requests()}),
    ("10.capstone", {"run": recorded(), "load": requests(failed=1)}),
    ("10.energy", {"answer": 25.0 / 15, "watts": WATTS}),  # real time
    ("10.energy", {"answer": 90_000, "watts": WATTS}),  # joules
    ("10.energy", {"answer": 60, "watts": WATTS}),  # watts
    ("10.energy", {"answer": 0.025, "watts": WATTS}),
    ("10.cost", BILL | {"answer": 2160}),
    ("10.cost", BILL | {"answer": 36}),
    ("10.cost", BILL | {"answer": 2 / 3}),
    ("10.carbon", GRID | {"answer": 10}),  # without the building
    ("10.carbon", GRID | {"answer": 12_000}),
    ("10.carbon", GRID | {"answer": 0.012}),
]

EMPTY, NOBODY = Series("power", "W"), requests(0)

TOO_EARLY: list[tuple[str, dict[str, Any]]] = [
    ("10.to-zero", {"timeline": Timeline(15, "test")}),
    ("10.to-zero", {"timeline": desired(0, 0)}),
    ("10.asleep", {"failed": 0, "counted_by": "the gateway", "load": NOBODY}),
    ("10.asleep", {"failed": 0, "counted_by": "the gateway", "load": requests()}),
    ("10.capstone", {"run": recorded(), "load": NOBODY}),
    ("10.energy", {"answer": 0, "watts": EMPTY}),
    ("10.cost", BILL | {"answer": 0, "run": recorded(0)}),
    ("10.carbon", GRID | {"answer": 0, "watts": EMPTY}),
]
"""Evidence that is empty, or was taken before there was anything to see: nobody's wrong answer."""
