"""The table of fields against the API server that runs: the next Kubernetes brings no field in silence."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.kube import Kube
from tests.cluster.fields.answers import OFF, answers, faults

pytestmark = pytest.mark.embedded
GROUPS = (
    "api/v1",
    "apis/apps/v1",
    "apis/autoscaling/v2",
    "apis/batch/v1",
    "apis/discovery.k8s.io/v1",
    "apis/networking.k8s.io/v1",
    "apis/node.k8s.io/v1",
)
ROOTS = {
    "ConfigMap",
    "CronJob",
    "DaemonSet",
    "Deployment",
    "EndpointSlice",
    "HorizontalPodAutoscaler",
    "Job",
    "Namespace",
    "NetworkPolicy",
    "Node",
    "Pod",
    "ReplicaSet",
    "RuntimeClass",
    "Secret",
    "Service",
    "StatefulSet",
}


@pytest.fixture(scope="module")
def document(cluster: Any) -> dict[str, Any]:
    kube = Kube(cluster.kubeconfig(), namespace="default")
    found: dict[str, Any] = {}
    for group in GROUPS:
        found |= kube.raw(f"/openapi/v3/{group}")["components"]["schemas"]
    return found


def test_every_field_has_a_line_and_every_line_a_field(document: dict[str, Any]) -> None:
    assert list(faults(document, answers())) == []


def test_every_kind_that_a_lab_reads_or_makes_pods_of_is_in_the_table() -> None:
    assert {answer.type for answer in answers()} >= ROOTS


def test_a_field_that_is_off_is_dropped_by_the_api_server(namespace: Kube) -> None:
    gates = {answer.text for answer in answers() if answer.kind == OFF}
    metrics = namespace.kubectl("get", "--raw", "/metrics").splitlines()
    enabled = {
        line.split('name="')[1].split('"')[0]: line.rsplit(" ", 1)[1]
        for line in metrics
        if line.startswith("kubernetes_feature_enabled{")
    }
    assert {gate: enabled.get(gate) for gate in gates} == dict.fromkeys(gates, "0")
