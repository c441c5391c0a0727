"""Notebook 11: what is right for its checks, and mutants of it, each with one thing wrong."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from labkit import course
from labkit.evidence import Series, Timeline
from labkit.evidence.timeline import Event
from labkit.kube.documents import load as documents
from labkit.load.results import LoadResult
from labkit.load.rows import Row
from localcluster.api import Json
from tests.course.examples import keda_faults
from tests.course.mutants import Case

MANIFESTS = course.root() / "manifests" / "11-keda"
NAME = "llm-inference-service"
OWNER = {"kind": "ScaledObject", "name": NAME, "controller": True}
BEGAN = 1_800_000_000.0
"""Unix time of the recordings: 2027-01-15T08:00:00Z."""


def scaled(name: str, *, made: str = "2027-01-15T07:59:00Z") -> Json:
    """A ScaledObject of the course as the API server returns it."""
    found = next(one.obj for one in documents(MANIFESTS / name) if one.obj["kind"] == "ScaledObject")
    found["metadata"] = {**found["metadata"], "creationTimestamp": made}
    return found


def external(target: str = "AverageValue", value: str = "5") -> Json:
    key = "averageValue" if target == "AverageValue" else "value"
    metric = {"name": "s0-prometheus", "selector": {"matchLabels": {"scaledobject.keda.sh/name": NAME}}}
    return {"type": "External", "external": {"metric": metric, "target": {"type": target, key: value}}}


POD_METRIC: Json = {
    "type": "Pods",
    "pods": {"metric": {"name": "vllm_request_queue_size"}, "target": {"averageValue": "5"}},
}


def hpa(
    metric: Json, *, managers: tuple[str, ...] = ("keda-operator",), owned: bool = True, **more: Any
) -> Json:
    """An HPA with one metric, and who wrote it."""
    meta = {
        "name": "llm-hpa",
        "creationTimestamp": more.pop("made", "2027-01-15T07:59:00Z"),
        "managedFields": [{"manager": name} for name in (*managers, "kube-controller-manager")],
        "ownerReferences": [OWNER] if owned else [],
    }
    spec = {"minReplicas": 2, "maxReplicas": 10, **more, "metrics": [metric]}
    return {
        "kind": "HorizontalPodAutoscaler",
        "metadata": meta,
        "spec": {**spec, "scaleTargetRef": {"name": NAME}},
    }


def requests(*, failed: int = 0) -> LoadResult:
    kinds = ["ok"] * 50 + ["refused"] * failed
    rows = tuple(Row(i, 1.0, 1.0, 60, kind, first=3, tokens_out=200) for i, kind in enumerate(kinds))
    return LoadResult(Path("none"), {"clock": 15, "shape": {"seconds": 60}}, BEGAN, rows, (), "done")


def replicas(*steps: tuple[float, float], marked: float | None = None) -> Timeline:
    """`desired` from one moment to the next, in lab seconds."""
    events = () if marked is None else (Event(marked, "three orders"),)
    points = (*steps, (steps[-1][0] + 60, steps[-1][1])) if steps else ()
    return Timeline(15, "test", (Series("desired", "", tuple(points)),), events, began=BEGAN)


def api_service(name: str, service: str, status: str = "True") -> Json:
    namespace, _, short = service.partition("/")
    condition = {"type": "Available", "status": status, "reason": "Passed", "message": "all checks passed"}
    return {
        "kind": "APIService",
        "metadata": {"name": name},
        "spec": {"service": {"namespace": namespace, "name": short}},
        "status": {"conditions": [condition]},
    }


KEDAS, ADAPTERS = "keda/keda-metrics-apiserver", "monitoring/adapter"
CUSTOM = api_service("v1beta2.custom.metrics.k8s.io", ADAPTERS)
SERVED = [CUSTOM, api_service("v1beta1.external.metrics.k8s.io", KEDAS)]
WRONG_SERVER = [CUSTOM, api_service("v1beta1.external.metrics.k8s.io", ADAPTERS, "False")]

MADE = hpa(external())
SAME = {"hpa": MADE, "scaled": scaled("solutions/scaledobject.yaml")}
SUM = {"average": 11.5, "replicas": 5, "divided_by": "HPA"}
TAKEN = hpa(external(), managers=("labkit", "keda-operator"))
MOVED = {
    "hpa": TAKEN,
    "scaled": scaled("solutions/transfer.yaml", made="2027-01-15T07:59:30Z"),
    "timeline": replicas((0, 2), (60, 2)),
    "load": requests(),
}
BACK = {
    "hpa": hpa(POD_METRIC, managers=("labkit", "keda-operator"), owned=False),
    "scaled": [],
    "timeline": replicas((0, 2), (60, 2)),
}
TWICE = {"sum_average": 16, "avg_value": 16, "avg_average": 4, "sum_value": 64}
ONCE = {"hpa": hpa(external("Value")), "scaled": scaled("solutions/average.yaml")}
SLOW = replicas((0, 0), (140, 1), (155, 3), marked=5)
QUICK = replicas((0, 0), (18, 1), (20, 3), marked=5)
LOOPS = {"wakes": "KEDA", "grows": "HPA", "waited": 135.0, "slow": SLOW, "quick": QUICK}

PASSING: list[Case] = [
    ("11.served", {"services": SERVED}),
    ("11.same-hpa", SAME),
    ("11.same-sum", SUM),
    ("11.same-sum", {"average": "11.5", "replicas": 5.0, "divided_by": "the HPA"}),
    ("11.moved", MOVED),
    ("11.moved", MOVED | {"timeline": replicas((0, 2), (30, 3), (60, 3))}),
    ("11.owner", {"answer": "garbage collector"}),
    ("11.owner", {"answer": "the garbage collection"}),
    ("11.rolled-back", BACK),
    ("11.twice", TWICE),
    ("11.twice-mended", ONCE),
    ("11.initial-cooldown", {"timeline": replicas((0, 2), (306, 0))}),
    ("11.two-loops", LOOPS),
    ("11.two-loops", LOOPS | {"wakes": "keda-operator", "waited": 130}),
    *keda_faults.passing(SERVED, scaled),
]


def other_hpa(**spec: Any) -> Json:
    return SAME | {"hpa": hpa(external(), **spec)}


def queried(query: str) -> Json:
    found = scaled("solutions/scaledobject.yaml")
    found["spec"]["triggers"][0]["metadata"]["query"] = query
    return found


def without(obj: Json, *path: str) -> Json:
    found = copy.deepcopy(obj)
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return found


MUTANTS: list[Case] = [
    ("11.served", {"services": WRONG_SERVER}),
    ("11.served", {"services": [CUSTOM]}),
    ("11.served", {"services": [CUSTOM, api_service("v1beta1.external.metrics.k8s.io", KEDAS, "False")]}),
    ("11.same-hpa", other_hpa(maxReplicas=2)),
    ("11.same-hpa", SAME | {"hpa": hpa(external(value="1"))}),
    ("11.same-hpa", SAME | {"hpa": hpa(external("Value"))}),
    ("11.same-hpa", SAME | {"scaled": scaled("exercises/scaledobject.yaml")}),
    ("11.same-hpa", SAME | {"scaled": queried('avg(vllm:num_requests_waiting{namespace="llm-lab"})')}),
    ("11.same-hpa", SAME | {"hpa": None}),
    ("11.same-sum", SUM | {"average": 23}),
    ("11.same-sum", SUM | {"average": 5}),
    ("11.same-sum", SUM | {"replicas": 4}),
    ("11.same-sum", SUM | {"replicas": 23}),
    ("11.same-sum", SUM | {"divided_by": "KEDA"}),
    ("11.moved", MOVED | {"hpa": hpa(POD_METRIC, managers=("labkit",), owned=False)}),
    ("11.moved", MOVED | {"hpa": MADE}),
    ("11.moved", MOVED | {"hpa": hpa(external(), managers=("labkit",), made="2027-01-15T07:59:45Z")}),
    ("11.moved", MOVED | {"hpa": hpa(external(), managers=("labkit",), owned=False)}),
    ("11.moved", MOVED | {"hpa": None}),
    ("11.moved", MOVED | {"timeline": replicas((0, 4), (30, 2), (60, 2))}),
    ("11.moved", MOVED | {"load": requests(failed=2)}),
    ("11.moved", MOVED | {"hpa": hpa(POD_METRIC, owned=False), "scaled": scaled("exercises/transfer.yaml")}),
    (
        "11.moved",
        MOVED
        | {
            "hpa": hpa(POD_METRIC, owned=False),
            "scaled": without(scaled("solutions/transfer.yaml"), "metadata", "annotations"),
        },
    ),
    ("11.owner", {"answer": "operator"}),
    ("11.owner", {"answer": "HPA controller"}),
    ("11.owner", {"answer": "adapter"}),
    ("11.owner", {"answer": "Kubernetes"}),
    ("11.rolled-back", BACK | {"hpa": None}),
    ("11.rolled-back", BACK | {"hpa": TAKEN, "scaled": [scaled("moved.yaml")]}),
    ("11.rolled-back", BACK | {"hpa": hpa(external(), managers=("labkit",), owned=False)}),
    ("11.rolled-back", BACK | {"hpa": hpa(POD_METRIC, owned=False, made="2027-01-15T08:00:03Z")}),
    ("11.rolled-back", BACK | {"scaled": [scaled("moved.yaml")]}),
    ("11.twice", TWICE | {"avg_average": 16}),
    ("11.twice", TWICE | {"sum_value": 16}),
    ("11.twice", TWICE | {"avg_value": 4}),
    ("11.twice", TWICE | {"sum_average": 10}),
    ("11.twice", TWICE | {"sum_average": "ten"}),
    ("11.twice-mended", {"hpa": MADE, "scaled": scaled("faults/twice.yaml")}),
    ("11.twice-mended", {"hpa": MADE, "scaled": scaled("scaledobject.yaml")}),
    ("11.twice-mended", {"hpa": hpa(external("Value")), "scaled": scaled("scaledobject.yaml")}),
    ("11.twice-mended", ONCE | {"hpa": hpa(external("Value", "10"))}),
    ("11.initial-cooldown", {"timeline": replicas((0, 2), (5, 0))}),
    ("11.initial-cooldown", {"timeline": replicas((0, 2), (100, 0))}),
    ("11.initial-cooldown", {"timeline": replicas((0, 2), (20, 1), (230, 0))}),
    ("11.two-loops", LOOPS | {"wakes": "HPA"}),
    ("11.two-loops", LOOPS | {"grows": "KEDA"}),
    ("11.two-loops", LOOPS | {"waited": 9.0}),  # real seconds
    ("11.two-loops", LOOPS | {"waited": 15}),
    ("11.two-loops", LOOPS | {"waited": "long"}),
    *keda_faults.mutants(SERVED, WRONG_SERVER, scaled),
]

TOO_EARLY: list[Case] = [
    ("11.moved", MOVED | {"timeline": replicas()}),
    ("11.moved", MOVED | {"load": LoadResult(Path("none"), {"clock": 15}, BEGAN, (), (), "done")}),
    ("11.rolled-back", BACK | {"timeline": Timeline(15, "test")}),
    ("11.twice-mended", {"hpa": None, "scaled": None}),
    ("11.initial-cooldown", {"timeline": replicas((0, 0), (60, 0))}),
    ("11.initial-cooldown", {"timeline": replicas((0, 2), (60, 2))}),
    ("11.two-loops", LOOPS | {"slow": replicas((0, 0), (60, 0), marked=5)}),
    ("11.two-loops", LOOPS | {"quick": replicas((0, 2), (60, 3), marked=5)}),
    *keda_faults.TOO_EARLY,
]
"""Evidence that is empty, or was taken before there was anything to see: nobody's wrong answer."""
