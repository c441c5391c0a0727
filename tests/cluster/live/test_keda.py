"""Real KEDA beside the lab: it scales from none and to none, takes over an HPA, and leaves nothing.

It takes ten minutes to build, so these tests are left out where it is not built.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from course.hpa import audit
from course.hpa.audit import AuditEvent
from labkit.kube import Kube
from localcluster import keda, polling, spawn
from localcluster.embedded import admin
from localcluster.embedded.provider import Embedded
from localcluster.errors import ProviderError
from localcluster.provider import Spec
from localcluster.toolchain import ladder

NAMES = ["keda-operator", "keda-adapter"]
pytestmark = [
    pytest.mark.embedded,
    pytest.mark.skipif(
        len(ladder.Ladder().look(NAMES)) < len(NAMES),
        reason="KEDA is not built here: labkit toolchain fetch keda-operator keda-adapter",
    ),
]
APISERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KEDAS = "v1beta1.external.metrics.k8s.io"


@pytest.fixture
def with_keda(cluster: Embedded, namespace: Kube) -> Iterator[Kube]:
    keda.start(cluster, report=print)
    yield namespace
    keda.remove(namespace.api, cluster, report=print)


def apply(kube: Kube, obj: dict[str, Any]) -> None:
    obj = obj | {"metadata": obj["metadata"] | {"namespace": kube.namespace}}
    admin.apply_objects(kube.api, [obj])


def deployment(kube: Kube, replicas: int = 1) -> None:
    container = {
        "name": "c",
        "image": "registry.lab:5000/llm-inference:1.0",
        "command": ["python", "-c", "import time; time.sleep(3600)"],
    }
    apply(
        kube,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "sleeper"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "sleeper"}},
                "template": {
                    "metadata": {"labels": {"app": "sleeper"}},
                    "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
                },
            },
        },
    )


def scaled(query: str, **more: Any) -> dict[str, Any]:
    """A ScaledObject that asks the lab's Prometheus each second."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "sleeper", "annotations": more.pop("annotations", {})},
        "spec": {
            "scaleTargetRef": {"name": "sleeper"},
            "minReplicaCount": 0,
            "maxReplicaCount": 4,
            "pollingInterval": 1,
            "cooldownPeriod": 2,
            "triggers": [
                {
                    "type": "prometheus",
                    "metadata": {
                        "serverAddress": "https://prometheus.monitoring.svc:9090",
                        "query": query,
                        "threshold": "5",
                        "authModes": "tls",
                    },
                    "authenticationRef": {"name": "prometheus", "kind": "ClusterTriggerAuthentication"},
                }
            ],
            **more,
        },
    }


def audited(cluster: Embedded, kube: Kube) -> list[AuditEvent]:
    """Who set the number of replicas of what, by the API server's audit log."""
    logs = cluster.audit_logs()
    assert logs
    asked = (one for one in audit.read(logs) if one.namespace == kube.namespace and one.succeeded)
    return [one for one in asked if one.subresource == "scale" and one.verb in {"update", "patch"}]


def replicas(kube: Kube) -> int:
    return int(kube.object("deployment/sleeper").at("spec.replicas"))


def condition(obj: dict[str, Any], kind: str) -> str:
    found = [c for c in obj.get("status", {}).get("conditions", ()) if c["type"] == kind]
    return found[0]["status"] if found else ""


def test_it_serves_an_api_of_its_own_beside_the_adapters(cluster: Embedded, with_keda: Kube) -> None:
    api = with_keda.api
    assert condition(api.get(f"{APISERVICES}/{KEDAS}"), "Available") == "True"
    assert condition(api.get(f"{APISERVICES}/v1beta2.custom.metrics.k8s.io"), "Available") == "True"
    states = {part.name: state for part, _, state in cluster.states()}
    assert {states[name] for name in NAMES} == {"ready"}
    assert cluster.running()


def test_a_metric_of_prometheus_wakes_it_scales_it_and_lets_it_sleep(
    cluster: Embedded, with_keda: Kube
) -> None:
    """12 over a threshold of 5 are 3 pods. Between 0 and 1 KEDA decides; above it, the HPA that it made."""
    deployment(with_keda, replicas=0)
    apply(with_keda, scaled("vector(12)"))
    with_keda.until("deployment/sleeper replicas=3", seconds=60)
    scalings = [(one.user.rpartition(":")[2], one.replicas) for one in audited(cluster, with_keda)]
    assert scalings == [("keda-operator", 1), ("horizontal-pod-autoscaler", 3)]
    hpa = with_keda.object("hpa/keda-hpa-sleeper")
    assert hpa.at("spec.metrics")[0]["type"] == "External"
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    apply(with_keda, scaled("vector(0)", advanced={"horizontalPodAutoscalerConfig": {"behavior": behavior}}))
    with_keda.until("deployment/sleeper replicas=0", seconds=60)


def test_a_live_hpa_changes_its_owner_and_loses_neither_its_uid_nor_a_pod(with_keda: Kube) -> None:
    deployment(with_keda, replicas=2)
    apply(
        with_keda,
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "mine"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "sleeper"},
                "minReplicas": 2,
                "maxReplicas": 4,
                "metrics": [
                    {
                        "type": "Pods",
                        "pods": {
                            "metric": {"name": "vllm_request_queue_size"},
                            "target": {"type": "AverageValue", "averageValue": "5"},
                        },
                    }
                ],
            },
        },
    )
    uid = with_keda.object("hpa/mine").at("metadata.uid")
    pods = {pod.at("metadata.uid") for pod in with_keda.objects("pods")}
    apply(
        with_keda,
        scaled(
            "vector(10)",
            annotations={"scaledobject.keda.sh/transfer-hpa-ownership": "true"},
            minReplicaCount=2,
            advanced={"horizontalPodAutoscalerConfig": {"name": "mine"}},
        ),
    )

    def taken() -> bool:
        return bool(with_keda.object("hpa/mine").at("spec.metrics")[0]["type"] == "External")

    polling.until(taken, "KEDA to take over the HPA", seconds=60)
    assert with_keda.object("hpa/mine").at("metadata.uid") == uid
    assert pods <= {pod.at("metadata.uid") for pod in with_keda.objects("pods")}


def test_a_scaled_object_for_nothing_and_one_with_a_typo_say_so(with_keda: Kube) -> None:
    wrong = scaled("sum(vllm:num_requests_waiting")
    apply(with_keda, wrong | {"spec": wrong["spec"] | {"scaleTargetRef": {"name": "nobody"}}})

    def said() -> str:
        ready = [
            c
            for c in with_keda.object("scaledobject/sleeper").at("status.conditions") or ()
            if c["type"] == "Ready"
        ]
        return str(ready[0].get("message", "")) if ready and ready[0]["status"] == "False" else ""

    assert "scaleTargetRef" in polling.until(said, "KEDA to say that there is no target", seconds=30)


@pytest.mark.parametrize("name", NAMES)
def test_a_part_that_is_killed_comes_back_and_scaling_goes_on(
    cluster: Embedded, with_keda: Kube, name: str
) -> None:
    deployment(with_keda, replicas=1)
    apply(with_keda, scaled("vector(12)", minReplicaCount=1))
    with_keda.until("deployment/sleeper replicas=3", seconds=60)
    part = spawn.Proc.load(cluster.layout.record(name))
    assert part
    os.kill(part.pid, signal.SIGKILL)
    apply(with_keda, scaled("vector(20)", minReplicaCount=1))
    with_keda.until("deployment/sleeper replicas=4", seconds=60)


def test_both_are_killed_in_a_scale_out_and_it_ends_where_it_was_to(
    cluster: Embedded, with_keda: Kube
) -> None:
    deployment(with_keda, replicas=0)
    apply(with_keda, scaled("vector(20)"))
    with_keda.until("deployment/sleeper desired>=1", seconds=60)
    for name in NAMES:
        part = spawn.Proc.load(cluster.layout.record(name))
        assert part
        os.kill(part.pid, signal.SIGKILL)
    with_keda.until("deployment/sleeper replicas=4", seconds=90)
    assert [hpa.name for hpa in with_keda.objects("hpa")] == ["keda-hpa-sleeper"]
    states = {part.name: state for part, _, state in cluster.states()}
    polling.until(
        lambda: {state for part, _, state in cluster.states() if part.name in NAMES} == {"ready"},
        "both to be back",
        seconds=60,
        last_seen=lambda: str(states),
    )


def test_a_reset_in_the_middle_of_a_scale_out_leaves_nothing(cluster: Embedded, namespace: Kube) -> None:
    """Also where its operator was killed a moment before."""
    keda.start(cluster, report=print)
    deployment(namespace, replicas=0)
    apply(namespace, scaled("vector(20)"))
    namespace.until("deployment/sleeper desired>=1", seconds=60)
    part = spawn.Proc.load(cluster.layout.record("keda-operator"))
    assert part
    os.kill(part.pid, signal.SIGKILL)
    keda.remove(namespace.api, cluster, report=print)
    namespace.kubectl("delete", "hpa,deployments,pods", "--all", "--grace-period=1")
    polling.until(
        lambda: not namespace.objects("hpa") and not namespace.objects("pods"), "all to end", seconds=60
    )
    assert not keda.found(namespace.api, keda.SCALED)
    polling.until(
        lambda: namespace.api.find("/api/v1/namespaces/keda") is None, "its namespace to go", seconds=60
    )
    assert not (cluster.layout.dir / "keda").exists()
    assert not (cluster.layout.dir / "prometheus" / "targets" / "keda.json").exists()
    assert cluster.running()


def test_it_leaves_nothing_even_if_its_operator_does_nothing(cluster: Embedded, namespace: Kube) -> None:
    """A ScaledObject has a finalizer that only the operator removes."""
    keda.start(cluster, report=print)
    deployment(namespace, replicas=1)
    apply(namespace, scaled("vector(12)", minReplicaCount=1))
    namespace.until("deployment/sleeper replicas=3", seconds=60)
    procs = [spawn.Proc.load(cluster.layout.record(name)) for name in NAMES]
    for proc in spawn.marked(cluster.layout.dir):
        if "keda-operator" in " ".join(psutil.Process(proc.pid).cmdline()):
            os.kill(proc.pid, signal.SIGSTOP)
    keda.remove(namespace.api, cluster, report=print)
    api = namespace.api
    assert not any(proc.alive() for proc in procs if proc)
    assert api.find(f"{APISERVICES}/{KEDAS}") is None
    assert not [crd for crd in api.get(CRDS)["items"] if crd["spec"]["group"].endswith("keda.sh")]
    roles = api.get("/apis/rbac.authorization.k8s.io/v1/clusterroles")["items"]
    assert not [role for role in roles if role["metadata"]["name"].startswith("keda")]
    polling.until(lambda: not namespace.objects("hpa"), "its HPA to be gone", seconds=30)
    polling.until(lambda: api.find("/api/v1/namespaces/keda") is None, "its namespace to go", seconds=60)
    assert not (cluster.layout.dir / "keda").exists()
    assert cluster.running()
    keda.remove(namespace.api, cluster, report=print)  # safe to repeat


def test_a_lab_without_a_network_of_its_own_is_refused() -> None:
    lab = Embedded("no-network-for-keda")
    lab.up(Spec(name="no-network-for-keda", isolation="none", gpu_nodes=1, cpu_nodes=0))
    try:
        with pytest.raises(ProviderError, match="network of its own"):
            keda.start(lab, report=print)
    finally:
        lab.down()
