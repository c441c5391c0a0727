"""What `labkit why` reads of a real API server: what it accepts, refusals, and kinds without types."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, event, given, settings

from course.hpa.readings import Reading
from course.why.flags import Flags
from course.why.follow import Follower
from course.why.snapshot import Snapshot
from labkit.errors import Refused
from labkit.kube import Kube
from localcluster import polling
from localcluster.api.client import Request
from localcluster.embedded.provider import Embedded
from tests.cluster.live.test_metrics_pipeline import MANIFESTS, kube
from tests.course.live.test_ledger import hpa
from tests.course.live.test_why import asked
from tests.course.unit.test_why_any_hpa import METRICS, SPECS
from tests.course.unit.why_world import hpa as made

__all__ = ["kube"]  # a fixture of the metrics pipeline

pytestmark = pytest.mark.embedded


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
