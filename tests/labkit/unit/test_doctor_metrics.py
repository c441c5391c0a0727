"""The doctor's judgement of HPAs on every type of metric, on several, and on targets that are not there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from labkit.doctor import extract
from labkit.doctor.facts import (
    ApiService,
    Condition,
    Container,
    Measured,
    Metric,
    MetricsApi,
    Observation,
    Prometheus,
    Workload,
)
from labkit.doctor.finding import OK, SKIPPED, UNKNOWN, Diagnosis
from labkit.doctor.pipeline import diagnose
from labkit.doctor.subject import QUEUE
from localcluster.api.objects import KubeObject
from tests.labkit.unit.test_doctor import (
    ABLE,
    API,
    APP,
    CPU,
    HPA,
    NAME,
    SERVER,
    finding,
    pod,
    with_api,
    with_hpa,
)

EXTERNAL = "external.metrics.k8s.io"
KEDA = ApiService(f"v1beta1.{EXTERNAL}", available=True, service="keda/keda-operator-metrics-apiserver")
QUEUED = Metric("External", "queue_messages", "AverageValue", selector="queue=prompts")
SUM = Metric("Object", "requests_per_second", "Value", "Service/llm", version="v1")
ON_CPU = Metric("Resource", "cpu", "Utilization")
CPU_API = MetricsApi(
    "metrics.k8s.io",
    (ApiService("v1beta1.metrics.k8s.io", available=True),),
    names=("pods",),
    values={"a": "1", "b": "1"},
)


def on(metric: Metric, api: MetricsApi) -> Observation:
    return replace(with_hpa(metrics=(metric,)), api=api)


def of_service(**change: Any) -> MetricsApi:
    names = ("services/requests_per_second",)
    return replace(API, place="services", names=names, values={"llm": "7"}, **change)


def states(found: Diagnosis) -> dict[str, str]:
    return {step.hop: step.state for step in found.steps}


def test_a_metric_of_another_object_is_looked_for_under_its_resource() -> None:
    told = diagnose(replace(on(SUM, of_service()), pages=(), prometheus=Prometheus("https://127.0.0.1:9")))
    assert told.broken is None
    assert [*states(told).values()][1:4] == [SKIPPED, SKIPPED, SKIPPED]
    lost = finding(on(SUM, replace(of_service(), names=("pods/requests_per_second",), values={})))
    assert lost.fault == "no-rule"
    assert "services/requests_per_second is not one of them; it has pods/requests_per_second" in lost.seen
    empty = finding(on(SUM, replace(of_service(), values={})))
    assert "has no value of requests_per_second for service/llm" in empty.seen


def test_an_external_metric_that_is_served_is_told_with_its_value() -> None:
    seen = on(QUEUED, MetricsApi(EXTERNAL, (KEDA,), values={"queue=prompts": "12"}))
    found = diagnose(replace(seen, pages=(), prometheus=Prometheus("https://127.0.0.1:9")))
    assert found.broken is None
    assert [*states(found).values()][1:5] == [SKIPPED] * 4
    assert "queue_messages: 12" in found.steps[5].finding.seen
    assert "keda/keda-operator-metrics-apiserver" in found.steps[5].finding.seen


@pytest.mark.parametrize("error", ["", "GET … failed (HTTP 404): no matching metrics found"])
def test_an_external_metric_that_nobody_serves_is_told_with_whose_api_it_is(error: str) -> None:
    found = finding(on(QUEUED, MetricsApi(EXTERNAL, (KEDA,), values_error=error)))
    assert found.fault == "no-values"
    assert f"has no queue_messages with queue=prompts: {error or 'its list is empty'}" in found.seen
    assert "Only what keda/keda-operator-metrics-apiserver knows" in found.cause


def test_an_api_that_does_not_exist_is_told_with_what_asks_for_it() -> None:
    found = finding(on(QUEUED, MetricsApi(EXTERNAL)))
    assert found.fault == "no-api"
    assert f"nothing serves {EXTERNAL} in this cluster, where the HPA asks for queue_messages" in found.seen
    assert "KEDA" in found.fix


def test_an_api_that_another_program_took_over_is_told_with_its_service() -> None:
    taken = ApiService("v1beta2.custom.metrics.k8s.io", available=True, service="datadog/cluster-agent")
    found = finding(with_api(services=(taken,), names=("pods/datadogmetric@x",), values={}))
    assert found.fault == "api-taken"
    assert "custom.metrics.k8s.io is served by service datadog/cluster-agent" in found.seen


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("ServiceNotFound", "does not exist"),
        ("MissingEndpoints", "No ready pod"),
        ("FailedDiscoveryCheck", "caBundle"),
        ("NoAnswer", "down, or hangs"),
    ],
)
def test_an_api_that_is_down_is_told_with_its_service_and_why(reason: str, cause: str) -> None:
    down = ApiService("v1beta1.metrics.k8s.io", available=False, reason=reason, service="kube-system/ms")
    found = finding(replace(CPU, api=replace(CPU.api, services=(down,), names=(), values={})))
    assert found.seen.startswith(
        f"apiservice/v1beta1.metrics.k8s.io of service kube-system/ms is not Available ({reason})"
    )
    assert cause in found.cause


def test_a_metric_that_resembles_none_is_not_taken_for_the_lessons() -> None:
    found = finding(with_hpa(metrics=(Metric("Pods", "http_requests_per_second", "AverageValue"),)))
    assert found.fault == "no-rule"
    assert "pods/http_requests_per_second is not one of them" in found.seen
    known = (f"pods/{QUEUE}", "pods/http_requests_per_minute")
    typo = with_hpa(metrics=(Metric("Pods", "http_requests_per_minut", "AverageValue"),))
    close = finding(replace(typo, api=replace(API, names=known)))
    assert (close.fault, close.cause) == ("unknown-metric", "Did you mean http_requests_per_minute?")


def test_a_resource_without_a_usage_is_not_a_matter_of_requests() -> None:
    gpus = Metric("Resource", "nvidia.com/gpu", "Utilization")
    found = finding(
        replace(CPU, autoscalers=(replace(HPA, metrics=(gpus,)),), api=replace(CPU.api, values={}))
    )
    assert found.fault == "unknown-resource"
    assert "only knows cpu and memory" in found.seen


def test_the_container_of_a_metric_is_one_that_each_pod_has() -> None:
    def of(container: str, *containers: Container) -> Observation:
        metric = Metric("ContainerResource", "cpu", "Utilization", container=container)
        pods = (pod("a", containers=containers), pod("b", containers=containers))
        return replace(CPU, pods=pods, autoscalers=(replace(HPA, metrics=(metric,)),))

    sidecar = Container("proxy", readiness=False)
    assert diagnose(of("model-server", SERVER, sidecar)).broken is None
    assert finding(of("proxy", SERVER, sidecar)).fault == "no-request"
    lost = finding(of("model-sever", SERVER, sidecar))
    assert (lost.fault, lost.cause) == ("no-container", "Did you mean model-server?")


def test_one_container_of_one_pod_without_a_request_is_named() -> None:
    sidecar = Container("proxy", readiness=False)
    both = replace(CPU.workloads[0], containers=(SERVER, sidecar))
    pods = (pod("a", containers=(SERVER, sidecar)), pod("b", containers=(SERVER, sidecar)))
    found = finding(replace(CPU, workloads=(both,), pods=pods))
    assert found.seen == f"container proxy of deployment/{NAME} requests no cpu"
    assert "with one such container it computes nothing" in found.cause
    old = finding(
        replace(
            CPU, pods=(pod("a", containers=(SERVER,)), pod("b", containers=(replace(SERVER, requests=()),)))
        )
    )
    assert "pod/b, older than the template" in old.seen
    assert old.fix == f"Replace that pod: kubectl rollout restart deployment/{NAME}"


def test_each_metric_of_an_hpa_is_followed() -> None:
    two = replace(with_hpa(metrics=(*HPA.metrics, ON_CPU)), more=(Measured(CPU_API),))
    assert diagnose(two).broken is None
    assert states(diagnose(two))["adapter"] == OK
    other = Measured(MetricsApi(EXTERNAL, (KEDA,), values={"queue=prompts": "12"}))
    neither = replace(on(ON_CPU, CPU_API), more=(other,))
    neither = replace(neither, autoscalers=(replace(HPA, metrics=(ON_CPU, QUEUED)),))
    assert states(diagnose(neither))["adapter"] == SKIPPED
    told = diagnose(two).steps[5].finding.seen
    assert "vllm_request_queue_size: " in told
    assert "cpu: v1beta1.metrics.k8s.io Available" in told
    dead = replace(CPU_API, services=(replace(CPU_API.services[0], available=False),), names=(), values={})
    found = diagnose(replace(two, more=(Measured(dead),)))
    assert found.hop == "metrics API"
    assert found.broken
    assert found.broken.finding.seen.startswith("cpu: apiservice/v1beta1.metrics.k8s.io is not Available")
    assert found.broken.finding.cause.endswith(
        "By vllm_request_queue_size the HPA still scales up, but never down."
    )
    alone = diagnose(replace(two, api=replace(API, services=(), names=(), values={}), more=(Measured(dead),)))
    assert alone.broken
    assert "never down" not in alone.broken.finding.cause


def test_a_target_is_told_in_the_controllers_words_where_its_kind_is_not_known() -> None:
    words = 'no matches for kind "Deploymnet" in group "apps"'
    unread = (replace(ABLE, status="False", reason="FailedGetScale", message=words),)
    found = diagnose(with_hpa(target=f"Deploymnet/{NAME}", conditions=unread))
    assert (found.hop, states(found)["HPA"]) == ("scale target", UNKNOWN)
    assert found.broken
    assert words in found.broken.finding.seen
    assert "did you mean Deployment?" in found.broken.finding.cause
    other = diagnose(with_hpa(target="LeaderWorkerSet/llm", conditions=unread))
    assert (other.hop, states(other)["pods"]) == ("scale target", UNKNOWN)
    assert other.broken
    assert "no subresource `scale`" in other.broken.finding.cause


def test_a_size_that_can_not_be_set_is_a_fault_of_the_hpa() -> None:
    refused = (replace(ABLE, status="False", reason="FailedUpdateScale", message="denied"),)
    assert finding(with_hpa(conditions=refused)).fault == "not-able-to-scale"


def test_an_hpa_at_its_bound_says_so() -> None:
    full = Condition("ScalingLimited", "True", "TooManyReplicas", "the desired count is too high")
    found = diagnose(with_hpa(conditions=(*HPA.conditions, full)))
    assert found.broken is None
    assert found.steps[6].finding.seen.endswith("; TooManyReplicas: the desired count is too high")


def test_a_stateful_set_is_followed_as_a_deployment_is() -> None:
    server = Workload("llm", 2, APP, (SERVER,), kind="StatefulSet")
    pods = tuple(pod(name, owner="StatefulSet/llm", labels=APP) for name in ("a", "b"))
    seen = replace(with_hpa(target="StatefulSet/llm"), workloads=(server,), pods=pods)
    assert diagnose(seen).broken is None
    assert "statefulset/llm: 2 replicas" in diagnose(seen).steps[7].finding.seen
    bare = (replace(server, replicas=0),)
    assert finding(replace(seen, workloads=bare, pods=())).fix == "kubectl scale statefulset/llm --replicas=1"


def test_the_selector_and_the_object_of_a_metric_are_read() -> None:
    selector = {
        "matchLabels": {"queue": "prompts"},
        "matchExpressions": [{"key": "dead", "operator": "DoesNotExist"}],
    }
    external = {"type": "External", "external": {"metric": {"name": "m", "selector": selector}, "target": {}}}
    about = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "web"}
    of_object = {
        "type": "Object",
        "object": {"describedObject": about, "metric": {"name": "rps"}, "target": {}},
    }
    hpa = KubeObject(
        {"metadata": {"name": "x"}, "spec": {"scaleTargetRef": {}, "metrics": [external, of_object]}}
    )
    found = extract.autoscaler(hpa).metrics
    assert found[0].selector == "!dead,queue=prompts"
    assert (found[1].about, found[1].version) == ("Ingress/web", "networking.k8s.io/v1")
