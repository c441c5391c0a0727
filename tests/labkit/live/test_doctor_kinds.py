"""The doctor on a real cluster: HPAs on every type of metric, on odd targets, and selectors that overlap."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from labkit.doctor.pipeline import diagnose
from localcluster import polling
from localcluster.api import Json
from tests.labkit.live.test_doctor import (
    CPU_HPA,
    QUEUE_HPA,
    SERVER,
    Fault,
    World,
    afterwards,
    in_template,
    keep,
    rewritten,
    world,
)

__all__ = ["world"]  # a fixture: a namespace of a running lab

pytestmark = pytest.mark.embedded

APP = {"app": "llm-model"}
AVERAGE = {"type": "AverageValue", "averageValue": "5"}
HALF = {"type": "Utilization", "averageUtilization": 50}
EXTERNAL = "v1beta1.external.metrics.k8s.io"


def resource(name: str, container: str = "") -> Json:
    if container:
        about = {"name": name, "container": container, "target": HALF}
        return {"type": "ContainerResource", "containerResource": about}
    return {"type": "Resource", "resource": {"name": name, "target": HALF}}


def pods(name: str) -> Json:
    return {"type": "Pods", "pods": {"metric": {"name": name}, "target": AVERAGE}}


def external(name: str) -> Json:
    metric = {"name": name, "selector": {"matchLabels": {"queue": "prompts"}}}
    return {"type": "External", "external": {"metric": metric, "target": AVERAGE}}


def of_service(name: str) -> Json:
    about = {"apiVersion": "v1", "kind": "Service", "name": "llm-inference-service"}
    return {
        "type": "Object",
        "object": {"metric": {"name": name}, "describedObject": about, "target": AVERAGE},
    }


def scaling_on(*metrics: Json, **target: str) -> Callable[[World], None]:
    """Another spec for the lesson's HPA."""

    def plant(world: World) -> None:
        hpa = yaml.safe_load(QUEUE_HPA.read_text())
        hpa["spec"]["metrics"] = list(metrics) or hpa["spec"]["metrics"]
        hpa["spec"]["scaleTargetRef"] |= target
        world.apply(hpa)

    return plant


def proxy_without_request(template: Json) -> None:
    """A second container, as an injector of sidecars adds it."""
    proxy = {k: v for k, v in template["spec"]["containers"][0].items() if k in {"image", "command"}}
    template["spec"]["containers"].append(proxy | {"name": "proxy", "command": ["sleep", "100000"]})


def smoke_test(world: World) -> None:
    """A finished pod with the Deployment's label and no request, under an HPA on CPU."""
    world.kube.apply(CPU_HPA)
    server = yaml.safe_load(SERVER.read_text())["spec"]["template"]["spec"]
    probe = {"name": "probe", "image": server["containers"][0]["image"], "command": ["true"]}
    spec = {
        "restartPolicy": "Never",
        "imagePullSecrets": server["imagePullSecrets"],
        "containers": [probe],
    }
    world.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "smoke-test", "labels": APP}, "spec": spec}
    )
    world.kube.until("pod/smoke-test succeeded", seconds=60)


def release(name: str, labels: dict[str, str]) -> Json:
    """Another Deployment of the same server, whose pods the first one's selector finds as well."""
    server: dict[str, Any] = yaml.safe_load(SERVER.read_text())
    server["metadata"]["name"] = name
    server["spec"] |= {"replicas": 1, "selector": {"matchLabels": labels}}
    server["spec"]["template"]["metadata"]["labels"] = labels
    return server


def canary(world: World) -> None:
    hpa = yaml.safe_load(CPU_HPA.read_text())
    hpa["metadata"]["name"] = "canary"
    hpa["spec"]["scaleTargetRef"]["name"] = "canary"
    hpa["spec"] |= {"minReplicas": 1}
    labels = {**APP, "track": "canary"}
    world.apply(release("canary", labels), hpa)
    world.kube.until("deployment/canary available", seconds=60)


def one_service_for_two(world: World) -> None:
    other = {"part-of": "chat"}
    for pod in world.kube.objects("pods"):
        world.kube.kubectl("label", "pod", pod.name, "part-of=chat")
    port = {"port": 80, "targetPort": 8000}
    front = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"}}
    world.apply(
        release("embedder", {**other, "app": "embedder"}),
        front | {"spec": {"selector": other, "ports": [port]}},
    )
    world.kube.until("deployment/embedder available", seconds=60)


def another_hpa_astray(world: World) -> None:
    hpa = yaml.safe_load(QUEUE_HPA.read_text())
    hpa["metadata"]["name"] = "astray"
    hpa["spec"]["scaleTargetRef"]["name"] = "llm-inferense-service"
    world.apply(hpa)


@contextlib.contextmanager
def taken_over(world: World) -> Iterator[None]:
    """Somebody's APIService for external metrics, whose program is not there."""
    world.deploy()
    behind = {"namespace": "keda", "name": "keda-operator-metrics-apiserver", "port": 443}
    spec: Json = {"group": "external.metrics.k8s.io", "version": "v1beta1", "service": behind}
    spec |= {"insecureSkipTLSVerify": True, "groupPriorityMinimum": 100, "versionPriority": 100}
    api = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": EXTERNAL}}
    world.apply(api | {"spec": spec})
    try:
        scaling_on(external("queue_messages"))(world)
        yield
    finally:
        world.kube.delete(f"apiservice/{EXTERNAL}")


KINDS: list[tuple[str, str, str, Fault]] = [
    ("sidecar-without-request", "pods", "no-request", in_template(proxy_without_request, hpa=CPU_HPA)),
    ("container-misspelt", "pods", "no-container", afterwards(scaling_on(resource("cpu", "model-sever")))),
    (
        "gpus-as-resource",
        "metrics API",
        "unknown-resource",
        afterwards(scaling_on(resource("nvidia.com/gpu"))),
    ),
    ("nobody-serves-external", "metrics API", "no-api", afterwards(scaling_on(external("queue_messages")))),
    ("external-taken-over", "metrics API", "api-unavailable", taken_over),
    ("metric-of-a-service", "adapter", "no-rule", afterwards(scaling_on(of_service("requests_per_second")))),
    (
        "second-metric",
        "adapter",
        "no-rule",
        afterwards(scaling_on(resource("cpu"), pods("http_requests_per_second"))),
    ),
    ("kind-misspelt", "scale target", "no-scale", afterwards(scaling_on(kind="Deploymnet"))),
    (
        "smoke-test",
        "pods",
        "stranger-without-request",
        afterwards(smoke_test),
    ),
    ("two-releases", "pods", "overlapping-selectors", afterwards(canary)),
    ("one-service-for-two", "pods", "shared-service", afterwards(one_service_for_two)),
    ("another-astray", "scale target", "another-without-target", afterwards(another_hpa_astray)),
]


@pytest.mark.parametrize(("name", "hop", "fault", "plant"), KINDS, ids=[name for name, *_ in KINDS])
def test_a_fault_of_this_kind_is_named(world: World, name: str, hop: str, fault: str, plant: Fault) -> None:
    with plant(world):
        keep(name, hop, fault, world.until_blamed(hop, fault))


def test_an_hpa_on_several_metrics_is_healthy_where_all_are(world: World) -> None:
    world.deploy()
    scaling_on(resource("cpu"), pods("vllm_request_queue_size"), resource("cpu", "model-server"))(world)
    world.until_healthy()
    told = diagnose(world.look()).steps[5].finding.seen
    assert re.search(r"cpu: .*; vllm_request_queue_size: .*; cpu of container model-server: ", told), told


def test_a_figure_that_is_no_number_counts_as_nothing(world: World) -> None:
    """A quantile of servers without a request is NaN: such a pod has 0, and no plot, table or wait breaks."""
    world.deploy()
    world.until_healthy()
    query = "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)"
    with rewritten(world, "adapter-rules.yaml", query, f"{query} * (0/0)"):
        world.until_healthy()
        assert [*world.look().api.values.values()] == ["0", "0"]

        def current() -> str:
            hpa = world.kube.object("hpa/llm-hpa")
            return str(hpa.at("status.currentMetrics.0.pods.current.averageValue"))

        polling.until(lambda: current() == "0", "the HPA to see 0", seconds=30, last_seen=current)
        world.kube.until("hpa/llm-hpa desired=2", "hpa/llm-hpa scalingactive", seconds=30)
