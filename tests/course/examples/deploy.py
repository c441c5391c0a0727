"""Notebook 02: what is right for its checks, and mutants of it, each with one thing wrong."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from labkit.evidence import Series, Timeline
from labkit.evidence.states import Span, States
from labkit.load import LoadResult, Row
from tests.course.mutants import Case

HEALTH = {"httpGet": {"path": "/health", "port": "http"}}
PATIENT = HEALTH | {"periodSeconds": 20, "failureThreshold": 6}
CONTAINER: dict[str, Any] = {
    "name": "model-server",
    "image": "registry.lab:5000/llm-inference:1.0",
    "ports": [{"containerPort": 8000}],
    "resources": {"requests": {"cpu": "4", "memory": "16Gi"}, "limits": {"nvidia.com/gpu": "1"}},
    "readinessProbe": HEALTH,
    "livenessProbe": PATIENT,
}
DEPLOYMENT: dict[str, Any] = {
    "metadata": {"name": "llm-inference-service"},
    "spec": {
        "replicas": 2,
        "template": {"metadata": {"labels": {"app": "llm-model"}}, "spec": {"containers": [CONTAINER]}},
    },
    "status": {"replicas": 2, "readyReplicas": 2},
}
SERVER = "spec.template.spec.containers.0"


def changed(path: str, value: Any) -> dict[str, Any]:
    """The Deployment with another value at a path."""
    new = copy.deepcopy(DEPLOYMENT)
    *inner, last = path.split(".")
    here: Any = new
    for key in inner:
        here = here[int(key)] if key.isdigit() else here[key]
    here[last] = value
    return new


def refusing(path: str) -> dict[str, Any]:
    """The Deployment with a readiness path that nobody answers: old pods serve, new ones wait."""
    new = changed(f"{SERVER}.readinessProbe.httpGet.path", path)
    return new | {"status": {"replicas": 4, "readyReplicas": 2}}


def pods(*restarts: int) -> list[dict[str, Any]]:
    return [{"status": {"containerStatuses": [{"restartCount": count}]}} for count in restarts]


def ready(*values: float) -> Timeline:
    points = tuple((60.0 * i, value) for i, value in enumerate(values))
    return Timeline(15, "test", (Series("ready", "", points),))


def crashes(*waits: float) -> States:
    """Runs of 2 s with these waits between them; the last wait is not over yet."""
    spans, now = [Span("Running", 0, 2)], 2.0
    for wait in waits:
        spans += [Span("CrashLoopBackOff", now, now + wait), Span("Running", now + wait, now + wait + 2)]
        now += wait + 2
    return States(15, {"pod": (*spans, Span("CrashLoopBackOff", now, now + 3))})


def load(v1: int = 100, v2: int = 100, **failed: int) -> LoadResult:
    ends = [("ok", "v1")] * v1 + [("ok", "v2")] * v2
    ends += [(kind, "v1") for kind, count in failed.items() for _ in range(count)]
    rows = tuple(Row(i, i, i, i + 1, outcome, version=v) for i, (outcome, v) in enumerate(ends))
    return LoadResult(Path("none"), {"clock": 15}, 0.0, rows, (), "done")


def runs(first: LoadResult, second: LoadResult, third: LoadResult) -> dict[str, LoadResult]:
    return {"no probe": first, "probe": second, "probe, preStop": third}


BAD, HALF = load(http_503=50, reset=9, broken=3), load(broken=9)
CURES = {"loading": "readinessProbe", "stopping": "preStop", "cut_off": "terminationGracePeriodSeconds"}


def at(run: LoadResult, started: float) -> LoadResult:
    """The same load, begun at a moment (Unix time)."""
    return replace(run, started=started)


def rolled_out(moment: str) -> dict[str, Any]:
    """The Deployment, whose newest rollout ended then."""
    status = {"conditions": [{"type": "Progressing", "lastUpdateTime": moment}]}
    return changed("status", DEPLOYMENT["status"] | status)


def became_ready(moment: str) -> dict[str, Any]:
    """A pod that became ready then."""
    return {"status": {"conditions": [{"type": "Ready", "lastTransitionTime": moment}]}}


def alive(probe: Any) -> dict[str, Any]:
    """The Deployment with a liveness probe, two pods that were never restarted, and users."""
    return {"deployment": changed(f"{SERVER}.livenessProbe", probe), "pods": pods(0, 0), "load": load(v2=0)}


PASSING: list[Case] = [
    ("02.deployment", {"deployment": DEPLOYMENT}),
    ("02.healed", {"timeline": ready(2, 1, 1, 2), "pods": pods(1, 0)}),
    ("02.backoff", {"answer": 160, "states": crashes(10, 20, 40)}),
    ("02.backoff", {"answer": "160", "states": crashes(13, 22, 47, 82)}),
    ("02.who", {"process": "kubelet", "pod": "ReplicaSet controller"}),
    ("02.who", {"process": "the kubelet", "pod": "replica-set"}),
    ("02.variants", {"runs": runs(BAD, load(broken=9, reset=2), HALF)}),
    ("02.grace", {"answer": 98, "longest": 83.0, "pre_stop": 15}),
    ("02.grace", {"answer": 120, "longest": 83.0, "pre_stop": 15}),
    ("02.zero-downtime", {"load": load()}),
    ("02.zero-downtime", {"load": load(abandoned=20)}),
    ("02.cures", CURES),
    ("02.cures", {"loading": "readiness probe", "stopping": "preStop", "cut_off": "grace period"}),
    ("02.rollback", {"load": load(v1=0), "deployment": DEPLOYMENT}),
    ("02.liveness", alive(PATIENT)),
    ("02.liveness", alive({"tcpSocket": {"port": 8000}, "periodSeconds": 30})),
    ("02.mended", {"deployment": DEPLOYMENT}),
    ("02.mended", {"deployment": changed(f"{SERVER}.readinessProbe.httpGet.path", "health")}),  # the same
    ("02.deployment", {"deployment": changed(f"{SERVER}.readinessProbe.httpGet.path", "health")}),
    ("02.liveness", alive(PATIENT | {"httpGet": {"path": "/version", "port": "http"}})),
]  # fmt: skip

MUTANTS: list[Case] = [
    ("02.deployment", {"deployment": None}),
    ("02.deployment", {"deployment": changed("spec.replicas", 1)}),
    ("02.deployment", {"deployment": changed(f"{SERVER}.resources.limits", {})}),
    ("02.deployment", {"deployment": changed(f"{SERVER}.readinessProbe", None)}),
    ("02.deployment", {"deployment": changed(f"{SERVER}.resources.requests.memory", "8Gi")}),
    ("02.deployment", {"deployment": changed(f"{SERVER}.resources.limits", {"nvidia.com/gpu": "2"})}),
    ("02.deployment", {"deployment": changed(f"{SERVER}.readinessProbe", {"httpGet": {"path": "/"}})}),
    ("02.deployment", {"deployment": changed("status.readyReplicas", 1)}),
    ("02.healed", {"timeline": ready(2, 2, 2), "pods": pods(1, 0)}),  # killed before it was recorded
    ("02.healed", {"timeline": ready(2, 1, 1), "pods": pods(1, 0)}),
    ("02.healed", {"timeline": ready(2, 1, 2), "pods": pods(0, 0)}),  # replaced, not restarted
    ("02.backoff", {"answer": 80, "states": crashes(10, 20, 40)}),
    ("02.backoff", {"answer": 320, "states": crashes(10, 20, 40)}),
    ("02.backoff", {"answer": 10.7, "states": crashes(10, 20, 40)}),  # real seconds
    ("02.backoff", {"answer": "twice as long", "states": crashes(10, 20, 40)}),
    ("02.who", {"process": "ReplicaSet controller", "pod": "ReplicaSet controller"}),
    ("02.who", {"process": "kubelet", "pod": "kubelet"}),
    ("02.who", {"process": "the scheduler", "pod": "the scheduler"}),
    ("02.variants", {"runs": runs(load(), HALF, HALF)}),
    ("02.variants", {"runs": runs(BAD, BAD, HALF)}),
    ("02.variants", {"runs": runs(load(), load(), load())}),
    ("02.grace", {"answer": 30, "longest": 83.0, "pre_stop": 15}),
    ("02.grace", {"answer": 85, "longest": 83.0, "pre_stop": 15}),  # preStop spends of it, too
    ("02.grace", {"answer": "long enough", "longest": 83.0, "pre_stop": 15}),
    ("02.grace", {"answer": 600, "longest": 83.0, "pre_stop": 15}),
    ("02.zero-downtime", {"load": load(broken=1)}),
    ("02.zero-downtime", {"load": load(reset=1)}),
    ("02.zero-downtime", {"load": load(v2=0)}),
    ("02.zero-downtime", {"load": load(http_503=1)}),
    ("02.zero-downtime", {"load": load(v1=0, v2=15)}),  # the file says v2, so nothing was updated
    ("02.cures", CURES | {"cut_off": "preStop"}),
    ("02.cures", CURES | {"loading": "livenessProbe"}),
    ("02.cures", CURES | {"stopping": "terminationGracePeriodSeconds"}),
    ("02.rollback", {"load": load(), "deployment": changed(f"{SERVER}.image", "registry.lab:5000/x:2.0")}),
    ("02.rollback", {"load": load(), "deployment": changed("status.replicas", 4)}),
    ("02.rollback", {"load": load(refused=3), "deployment": DEPLOYMENT}),
    ("02.liveness", alive(None)),
    ("02.liveness", alive({"exec": {}})),
    ("02.liveness", alive(HEALTH)),
    ("02.liveness", alive({"httpGet": {"path": "/v1/completions"}, "periodSeconds": 60})),
    ("02.liveness", alive(HEALTH | {"periodSeconds": 20, "failureThreshold": 1})),
    ("02.liveness", alive(PATIENT) | {"pods": pods(1, 0)}),
    ("02.mended", {"deployment": refusing("/")}),
    ("02.mended", {"deployment": changed(f"{SERVER}.readinessProbe.httpGet.path", "/metrics")}),
    ("02.mended", {"deployment": changed(f"{SERVER}.readinessProbe.httpGet.path", "/health/")}),
    ("02.mended", {"deployment": changed(f"{SERVER}.readinessProbe.httpGet.path", "http://pod:8000/health")}),
    ("02.mended", {"deployment": changed(f"{SERVER}.readinessProbe", None)}),
    ("02.mended", {"deployment": changed("status.readyReplicas", 0)}),
]

TOO_EARLY: list[Case] = [
    ("02.healed", {"timeline": ready(2, 2, 2), "pods": pods(0, 0)}),
    ("02.backoff", {"answer": 160, "states": crashes(10)}),
    ("02.backoff", {"answer": 160, "states": crashes(10, 10, 10)}),
    ("02.backoff", {"answer": 160, "states": crashes(160, 300, 300)}),  # a pod that had crashed before
    ("02.variants", {"runs": {"no probe": BAD}}),
    ("02.variants", {"runs": runs(BAD, load(v1=4, v2=0), HALF)}),
    ("02.grace", {"answer": 98, "longest": 0.0, "pre_stop": 15}),
    ("02.zero-downtime", {"load": load(v1=5, v2=5)}),
    ("02.rollback", {"load": load(v1=3, v2=0), "deployment": DEPLOYMENT}),
    ("02.rollback", {"load": at(load(), 1000.0), "deployment": rolled_out("1970-01-01T01:00:00Z")}),
    ("02.liveness", alive(PATIENT) | {"load": load(v1=3, v2=0)}),
    (
        "02.liveness",
        alive(PATIENT) | {"load": at(load(), 1000.0), "pods": [became_ready("1970-01-01T01:00:00Z")]},
    ),
]
"""Evidence that was taken too early, or with nobody there: nobody's wrong answer."""
