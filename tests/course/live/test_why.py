"""`labkit why` on a real controller, through a plain kubeconfig only, held against the ledger.

`pytest -rP tests/course/live/test_why.py` prints the share of decisions that have the ledger's reason.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, event, given, settings

from course.hpa.ledger import Line
from course.hpa.readings import Reading
from course.why.flags import Flags
from course.why.follow import Follower
from course.why.reasons import reason
from course.why.snapshot import Snapshot
from labkit.errors import Refused
from labkit.kube import Kube
from localcluster import clock, polling, spawn
from localcluster.api.client import Request
from localcluster.embedded.provider import Embedded
from tests.cluster.live.test_metrics_pipeline import MANIFESTS, SetQueue, kube, set_queue
from tests.course.live.test_ledger import hpa, kept, scale_out_and_in
from tests.course.unit.test_why_any_hpa import METRICS, SPECS
from tests.course.unit.why_world import hpa as made

__all__ = ["kube", "set_queue"]  # fixtures of the metrics pipeline: servers whose queue a test sets

pytestmark = pytest.mark.embedded

WHY = (sys.executable, "-m", "labkit.cli", "why")
SAME = 0.95
"""The share of decisions that must have the ledger's reason."""


def words(kube: Kube, *more: str) -> list[str]:
    return [*WHY, *more, "--kubeconfig", str(kube.kubeconfig), "-n", kube.namespace]


def asked(kube: Kube, *more: str) -> spawn.Finished:
    return spawn.run(words(kube, *more), seconds=60)


Told = Callable[[], list[dict[str, Any]]]


@contextmanager
def watching(cluster: Embedded, kube: Kube, log: Path, *, flags: bool = True) -> Iterator[Told]:
    """Follow the HPA beside the test, with or without knowing the controller's flags: what it told so far."""

    def told() -> list[dict[str, Any]]:
        lines = log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    given = " ".join(clock.flags(cluster.spec().clock).kube_controller_manager) if flags else ""
    more = ("--controller-flags", given) if flags else ()
    argv = words(kube, "hpa/llm-hpa", "--watch", "--json", "--every", "0.2", *more)
    process = spawn.popen(argv, log=log)
    try:
        polling.until(told, "the first explanation", seconds=30, last_seen=log.read_text)
        yield told
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)


@dataclass(frozen=True)
class Held:
    """How one watcher's explanations compare with the ledger's lines."""

    title: str
    syncs: int
    same: int
    numbers: int
    different: tuple[str, ...]

    @property
    def share(self) -> float:
        return self.same / self.syncs if self.syncs else 0.0

    def __str__(self) -> str:
        return (
            f"labkit why, {self.title}: {self.same} of {self.syncs} decisions with the ledger's reason "
            f"({self.share:.1%}), {self.numbers} with its number before any limit"
        )


def held(title: str, lines: Iterable[Line], told: list[dict[str, Any]], until: float) -> Held:
    """Each of the ledger's syncs up to a moment, with the explanation in force when the next one began."""
    moments = [when(each) for each in told]
    same = numbers = 0
    different = []
    judged = [line for line in lines if line.judged and moments[0] < line.sync.look.at < until]
    for line, following in pairwise(judged):
        found = told[bisect_left(moments, following.sync.look.at) - 1]
        wanted = (reason(line.decision), line.did)
        if (found["reason"], found["to"]) == wanted:
            same += 1
        else:
            different.append(f"{line.at:.0f}: {wanted} {line.why!r}, not {found['reason']} {found['why']!r}")
        numbers += line.decision.proposed == found["proposed"]
    return Held(title, len(judged) - 1, same, numbers, tuple(different))


def when(told: dict[str, Any]) -> float:
    return datetime.fromisoformat(told["at"]).timestamp()


@pytest.mark.parametrize("flags", ["known", "unknown"])
def test_a_queue_hpa_is_explained_as_the_ledger_does(
    cluster: Embedded, kube: Kube, set_queue: SetQueue, tmp_path: Path, flags: str
) -> None:
    kube.apply(MANIFESTS / "base" / "hpa.yaml")
    with watching(cluster, kube, tmp_path / "why.jsonl", flags=flags == "known") as so_far:
        scale_out_and_in(kube, set_queue, [2, 4, 8, 10])
        until, told = time.time(), so_far()
    result = held(f"queue, flags {flags}", kept(cluster, kube).lines, told, until)
    print(result, *result.different, sep="\n  ")  # noqa: T201 - the figure
    assert result.syncs > 20
    assert result.share >= SAME, result.different
    assert {"from", "to", "reason", "why", "source", "unknown", "metrics"} <= set(told[0])


def test_a_cpu_hpa_with_a_behavior_is_explained_as_the_ledger_does(
    cluster: Embedded, kube: Kube, tmp_path: Path
) -> None:
    def target(amount: str) -> list[Any]:
        wanted = {"type": "AverageValue", "averageValue": amount}
        return [{"type": "Resource", "resource": {"name": "cpu", "target": wanted}}]

    down = {"stabilizationWindowSeconds": 60, "policies": [{"type": "Pods", "value": 2, "periodSeconds": 30}]}
    up = {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 30}]}
    behavior = {"scaleUp": up, "scaleDown": down}
    kube.apply(hpa(tmp_path / "hpa.yaml", metrics=target("1m"), maxReplicas=7, behavior=behavior))
    with watching(cluster, kube, tmp_path / "why.jsonl") as so_far:
        kube.until("hpa/llm-hpa desired=7", seconds=90)
        kube.apply(hpa(tmp_path / "hpa.yaml", metrics=target("100"), maxReplicas=7, behavior=behavior))
        kube.until("hpa/llm-hpa desired=2", seconds=90)
        until, told = time.time(), so_far()
    result = held("CPU with a behavior", kept(cluster, kube).lines, told, until)
    print(result, *result.different, sep="\n  ")  # noqa: T201 - the figure
    assert result.syncs > 10
    assert result.share >= SAME, result.different


def test_looking_once_tells_now_and_the_past(kube: Kube, set_queue: SetQueue) -> None:
    kube.apply(MANIFESTS / "base" / "hpa.yaml")
    set_queue(8)
    kube.until("hpa/llm-hpa desired=4", seconds=30)
    found = asked(kube, "hpa/llm-hpa")
    assert found.returncode == 0, found.stderr
    assert "→ 4: pods metric vllm_request_queue_size above target" in found.stdout
    assert "vllm_request_queue_size is" in found.stdout
    assert asked(kube).stdout.splitlines()[-1:] != []  # the only HPA need not be named


def test_what_is_wrong_is_said_with_cause_and_fix(kube: Kube, tmp_path: Path) -> None:
    kube.apply(MANIFESTS / "base" / "hpa.yaml")
    typo = asked(kube, "hpa/llm-hap")
    assert (typo.returncode, "Did you mean llm-hpa?" in typo.stderr) == (2, True)
    no_keda = asked(kube, "scaledobject/web")
    assert "KEDA is not installed" in no_keda.stderr
    other = asked(kube, "deployment/llm-inference-service")
    assert "Only an HPA or a ScaledObject decides" in other.stderr
    external = {
        "type": "External",
        "external": {"metric": {"name": "q"}, "target": {"type": "AverageValue", "averageValue": "5"}},
    }
    kube.apply(hpa(tmp_path / "hpa.yaml", metrics=[external]))
    told: list[dict[str, Any]] = []

    def failed() -> bool:
        told[:] = [json.loads(asked(kube, "hpa/llm-hpa", "--json").stdout)]
        return bool(told[0]["reason"] == "FailedGetExternalMetric")

    polling.until(failed, "the missing metric to be the reason", seconds=30, last_seen=lambda: str(told))
    assert told[0]["from"] == told[0]["to"] == 2
    assert told[0]["fix"]


def test_with_few_rights_it_says_which_are_missing(cluster: Embedded, kube: Kube, tmp_path: Path) -> None:
    kube.apply(MANIFESTS / "base" / "hpa.yaml")
    kube.until("hpa/llm-hpa scalingactive", seconds=30)
    kube.kubectl("create", "serviceaccount", "reader")
    token = kube.kubectl("create", "token", "reader").strip()
    config = yaml.safe_load(kube.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    own = tmp_path / "kubeconfig"
    own.write_text(yaml.safe_dump(config))
    reader = Kube(own, namespace=kube.namespace)
    refused = asked(reader, "hpa/llm-hpa")
    assert refused.returncode == 1
    assert "lacks the RBAC verb `get` on horizontalpodautoscalers.autoscaling" in refused.stderr
    account = f"--serviceaccount={kube.namespace}:reader"
    kube.kubectl(
        "create", "role", "hpas", "--verb=get,list", "--resource=horizontalpodautoscalers.autoscaling"
    )
    kube.kubectl("create", "rolebinding", "hpas", "--role=hpas", account)

    def allowed() -> dict[str, Any] | None:
        found = asked(reader, "hpa/llm-hpa", "--json")
        return json.loads(found.stdout) if found.returncode == 0 else None

    told = polling.until(allowed, "the role to count", seconds=20, every=0.5)
    assert told["to"] == 2
    assert any("RBAC verb `get` on deployments/scale.apps" in gap for gap in told["unknown"])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(METRICS, SPECS)
def test_any_hpa_that_the_server_accepts_is_read(
    namespace: Kube, metrics: list[dict[str, Any]], spec: dict[str, Any]
) -> None:
    """The server fills in its defaults; what it refuses needs no explanation."""
    obj = made(metrics, **spec) | {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    obj["metadata"] = {"name": "web", "namespace": namespace.namespace}
    path = f"/apis/autoscaling/v2/namespaces/{namespace.namespace}/horizontalpodautoscalers"
    try:
        kept_there = namespace.api.send(Request(path, "POST", {"dryRun": "All"}, obj)).json
    except Refused as error:
        if error.reason != "Invalid":
            raise
        event("refused")
        return
    event("accepted")
    told = Follower(Flags()).take(Snapshot(0.0, kept_there, None, "", (), tuple(None for _ in metrics)))
    assert told
    assert told.reason == "NotLookedYet"
    kept_there["status"] = {
        "currentReplicas": 2,
        "desiredReplicas": 2,
        "conditions": [{"type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale"}],
    }
    empty = tuple(Reading(failure="nothing") for _ in metrics)
    told = Follower(Flags()).take(Snapshot(0.0, kept_there, None, "", (), empty))
    assert told
    assert told.why


SCALED = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "scaledobjects.keda.sh"},
    "spec": {
        "group": "keda.sh",
        "scope": "Namespaced",
        "names": {"kind": "ScaledObject", "plural": "scaledobjects", "singular": "scaledobject"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
        ],
    },
}
"""KEDA's kind without KEDA: objects are only read."""


def test_a_scaled_object_is_read_without_kedas_types(kube: Kube, tmp_path: Path) -> None:
    (tmp_path / "crd.yaml").write_text(yaml.safe_dump(SCALED))
    kube.kubectl("apply", "-f", str(tmp_path / "crd.yaml"))
    try:
        kube.kubectl("wait", "--for=condition=established", "crd/scaledobjects.keda.sh", "--timeout=20s")
        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        scaled = {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": "web"},
            "spec": {
                "scaleTargetRef": {"name": "llm-inference-service"},
                "triggers": [{"type": "prometheus"}],
            },
            "status": {
                "lastActiveTime": began,
                "conditions": [
                    {"type": "Ready", "status": "True"},
                    {"type": "Active", "status": "False"},
                ],
            },
        }
        (tmp_path / "so.yaml").write_text(yaml.safe_dump(scaled))
        polling.until(
            lambda: not kube.kubectl("apply", "-f", str(tmp_path / "so.yaml")).startswith("error"),
            "the kind to be served",
            seconds=20,
        )
        found = asked(kube, "scaledobject/web", "--json")
        assert found.returncode == 0, found.stderr
        told = json.loads(found.stdout)
        assert (told["reason"], told["from"]) == ("Cooldown", 2)
        assert "of a cooldownPeriod of 300 s" in told["why"]
    finally:
        kube.kubectl("delete", "crd", "scaledobjects.keda.sh", "--ignore-not-found")
