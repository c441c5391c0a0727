"""The doctor's judgement: a fault is blamed on its own hop, what follows from it is not, health is silent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit.doctor import case
from labkit.doctor.facts import (
    ApiService,
    Autoscaler,
    Condition,
    Container,
    Metric,
    MetricsApi,
    Observation,
    Page,
    Pod,
    Prometheus,
    Service,
    Target,
    Workload,
)
from labkit.doctor.finding import AFFECTED, SKIPPED, UNKNOWN, Diagnosis
from labkit.doctor.pipeline import HOPS, diagnose
from labkit.doctor.subject import QUEUE, SOURCES
from labkit.view.diagnosis import Shown
from tests.embedded.test_doctor import PLANTED

STORED = sorted((Path(__file__).parents[1] / "golden" / "doctor").glob("*.json"))
RULES = Path(__file__).parents[2] / "cluster" / "adapter-rules.yaml"
NAME = "llm-inference-service"
APP = {"app": "llm-model"}
ASKS = {"prometheus.io/scrape": "true", "prometheus.io/port": "8000"}
ACTIVE = Condition("ScalingActive", "True", "ValidMetricFound")
ABLE = Condition("AbleToScale", "True", "ReadyForNewScale")


def pod(name: str, **other: Any) -> Pod:
    known = {"labels": {**APP, "pod-template-hash": "6c9f"}, "annotations": ASKS, "ready_for": 60.0}
    return Pod(**{"name": name, **known, **other})


def row(name: str, **labels: str) -> dict[str, str]:
    return {"__name__": SOURCES[QUEUE], "namespace": "llm-lab", "pod": name, **labels}


SERVER = Container("model-server", (8000,), readiness=True, requests=("cpu", "memory", "nvidia.com/gpu"))
DEPLOYMENT = Workload(NAME, 2, APP, (SERVER,))
HPA = Autoscaler(
    "llm-hpa", f"Deployment/{NAME}", (Metric("Pods", QUEUE, "AverageValue"),), (ABLE, ACTIVE), desired=2
)
API = MetricsApi(
    "custom.metrics.k8s.io",
    (ApiService("v1beta2.custom.metrics.k8s.io", available=True),),
    names=(f"pods/{QUEUE}", f"namespaces/{QUEUE}", "pods/vllm_requests_running"),
    values={"a": "3", "b": "4"},
)
PROMETHEUS = Prometheus(
    "https://127.0.0.1:9",
    targets=(Target("a", "http://a:8000/metrics", "up"), Target("b", "http://b:8000/metrics", "up")),
    series=(row("a"), row("b")),
)
HEALTHY = Observation(
    "llm-lab",
    15.0,
    "",
    API,
    PROMETHEUS,
    workloads=(DEPLOYMENT,),
    pods=(pod("a"), pod("b")),
    services=(Service(NAME, APP),),
    autoscalers=(HPA,),
    pages=(Page("a", (SOURCES[QUEUE],)), Page("b", (SOURCES[QUEUE], "up"))),
)
PAGE_C = Page("c", (SOURCES[QUEUE],))
CPU = replace(
    HEALTHY,
    autoscalers=(replace(HPA, metrics=(Metric("Resource", "cpu", "Utilization"),)),),
    api=MetricsApi(
        "metrics.k8s.io", (ApiService("v1beta1.metrics.k8s.io", available=True),), names=("pods",)
    ),
)
CPU = replace(CPU, api=replace(CPU.api, values={"a": "1", "b": "1"}))


def with_hpa(**change: Any) -> Observation:
    return replace(HEALTHY, autoscalers=(replace(HPA, **change),))


def with_prometheus(**change: Any) -> Observation:
    return replace(HEALTHY, prometheus=replace(PROMETHEUS, **change))


def with_api(**change: Any) -> Observation:
    return replace(HEALTHY, api=replace(API, **change))


def with_deployment(**change: Any) -> Observation:
    return replace(HEALTHY, workloads=(replace(DEPLOYMENT, **change),))


def with_pods(**change: Any) -> Observation:
    return replace(HEALTHY, pods=(pod("a", **change), pod("b", **change)))


LOST = pod("c", labels={"app": "debug", "pod-template-hash": "6c9f"}, owned=False)
DOWN = ApiService("v1beta2.custom.metrics.k8s.io", available=False, reason="ServiceNotFound", message="gone")
NO_TARGETS: Mapping[str, Any] = {"targets": (), "series": ()}
FAULTS: list[tuple[str, str, Observation]] = [
    ("pods", "released-pod", replace(HEALTHY, pods=(*HEALTHY.pods, LOST))),
    ("pods", "service-selector", replace(HEALTHY, services=(Service(NAME, {"app": "llm-modle"}),))),
    ("pods", "scaled-to-zero", replace(with_deployment(replicas=0), pods=())),
    ("pods", "no-pods", replace(HEALTHY, pods=())),
    ("pods", "pod-not-running", with_pods(ready_for=None, trouble="ErrImagePull")),
    ("pods", "pod-not-running", with_pods(ready_for=None, trouble="Unschedulable")),
    ("pods", "no-request", replace(CPU, workloads=(replace(DEPLOYMENT, containers=(Container("c"),)),))),
    ("pods", "no-readiness", with_deployment(containers=(replace(SERVER, readiness=False),))),
    ("metrics page", "no-page", replace(HEALTHY, pages=(Page("a", error="404 Not Found"),))),
    ("metrics page", "not-exported", replace(HEALTHY, pages=(Page("a", ("vllm:num_request_waiting",)),))),
    ("scrape", "prometheus-down", with_prometheus(error="Connection refused", **NO_TARGETS)),
    (
        "scrape",
        "no-scrape-annotation",
        replace(with_prometheus(**NO_TARGETS), pods=with_pods(annotations={}).pods),
    ),
    (
        "scrape",
        "wrong-port",
        replace(
            with_prometheus(**NO_TARGETS),
            pods=with_pods(annotations={**ASKS, "prometheus.io/port": "9000"}).pods,
        ),
    ),
    ("scrape", "no-target", with_prometheus(**NO_TARGETS)),
    (
        "scrape",
        "target-down",
        with_prometheus(targets=(Target("a", "http://a/metrics", "down", "refused"),), series=()),
    ),
    ("series", "no-labels", with_prometheus(series=({"__name__": SOURCES[QUEUE], "namespace": "llm-lab"},))),
    ("series", "no-series", with_prometheus(series=(row("a"), row("b", namespace="other")))),
    ("adapter", "no-rule", with_api(names=("pods/vllm_requests_running",), values={}, values_error="404")),
    ("metrics API", "api-unavailable", with_api(services=(DOWN,), names=(), values={})),
    ("metrics API", "no-api", with_api(services=(), names=(), values={})),
    ("metrics API", "no-values", with_api(values={}, values_error="unable to fetch metrics")),
    ("metrics API", "no-values", with_api(values={"a": "3"})),
    ("HPA", "no-hpa", replace(HEALTHY, autoscalers=())),
    ("HPA", "second-hpa", replace(HEALTHY, autoscalers=(HPA, replace(HPA, name="llm-hpa-cpu")))),
    (
        "HPA",
        "unknown-metric",
        with_hpa(metrics=(Metric("Pods", "vllm_num_requests_waiting", "AverageValue"),)),
    ),
    ("HPA", "value-of-a-sum", with_hpa(metrics=(Metric("Object", QUEUE, "Value", "Namespace/llm-lab"),))),
    ("HPA", "scaling-inactive", with_hpa(conditions=(ABLE, replace(ACTIVE, status="False", reason="x")))),
    ("scale target", "no-target", with_hpa(target="Deployment/llm-inference-servise")),
    ("scale target", "two-writers", with_deployment(writers=("kubectl-client-side-apply (Update)",))),
    (
        "scale target",
        "no-room",
        replace(HEALTHY, pods=(*HEALTHY.pods, pod("c", ready_for=None, trouble="Unschedulable"))),
    ),
]


@pytest.mark.parametrize("seen", [HEALTHY, CPU], ids=["queue", "cpu"])
def test_a_healthy_path_is_silent(seen: Observation) -> None:
    found = diagnose(seen)
    assert found.broken is None, found.summary
    assert {step.state for step in found.steps} <= {"ok", SKIPPED}
    assert found.summary == "Nothing is broken: the number reaches the HPA."


@pytest.mark.parametrize(("hop", "fault", "seen"), FAULTS, ids=[f"{hop}-{fault}" for hop, fault, _ in FAULTS])
def test_a_fault_is_blamed_on_its_own_hop(hop: str, fault: str, seen: Observation) -> None:
    found = diagnose(seen)
    assert found.broken
    assert (found.hop, found.broken.finding.fault) == (hop, fault)
    assert found.broken.finding.cause
    assert found.broken.finding.fix
    assert found.summary == f"The first broken hop is {hop}."


def test_every_hop_can_be_the_broken_one() -> None:
    assert {hop for hop, _, _ in FAULTS} == {hop.name for hop in HOPS}


def test_what_follows_from_the_first_fault_is_not_blamed() -> None:
    silent = with_hpa(conditions=(ABLE, replace(ACTIVE, status="False", reason="FailedGetPodsMetric")))
    prometheus = with_prometheus(error="Connection refused", **NO_TARGETS).prometheus
    found = diagnose(replace(silent, prometheus=prometheus, api=with_api(values={}, values_error="500").api))
    states = {step.hop: step.state for step in found.steps}
    assert found.hop == "scrape"
    assert states["series"] == UNKNOWN
    assert states["metrics API"] == states["HPA"] == AFFECTED
    assert states["pods"] == states["scale target"] == "ok"


def test_new_pods_are_given_the_time_that_the_others_need_to_learn_of_them() -> None:
    young = with_pods(ready_for=1.0).pods
    early = replace(with_prometheus(**NO_TARGETS), pods=young, api=with_api(names=(), values={}).api)
    found = diagnose(early)
    assert found.broken is None
    assert {s.hop for s in found.steps if s.state == UNKNOWN} == {
        "scrape",
        "series",
        "adapter",
        "metrics API",
    }
    assert "can't be judged (yet)" in found.summary
    assert diagnose(replace(early, clock=15.0, pods=with_pods(ready_for=9.0).pods)).hop == "scrape"
    assert diagnose(replace(early, clock=1.0, pods=with_pods(ready_for=9.0).pods)).broken is None


def test_pods_that_come_while_others_serve_hide_nothing() -> None:
    growing = replace(HEALTHY, pods=(*HEALTHY.pods, pod("c", ready_for=1.0)), pages=(*HEALTHY.pages, PAGE_C))
    found = diagnose(growing)
    assert found.broken is None
    assert {step.state for step in found.steps} == {"ok"}
    assert "2 of 3 targets are up, the others are new" in found.steps[2].finding.seen
    down = replace(growing, prometheus=with_prometheus(targets=PROMETHEUS.targets[:1]).prometheus)
    assert diagnose(down).hop == "scrape"


def test_pods_that_wait_for_others_to_leave_are_not_blamed() -> None:
    waits = pod("c", ready_for=None, trouble="Unschedulable")
    crowded = replace(HEALTHY, pods=(*HEALTHY.pods, waits))
    assert diagnose(crowded).hop == "scale target"
    assert diagnose(replace(crowded, leaving=1)).broken is None


def test_an_empty_namespace_is_not_broken() -> None:
    found = diagnose(Observation("llm-lab", 15.0, "", API, PROMETHEUS))
    assert found.broken is None
    assert found.summary == "There is no path to walk yet: nothing is deployed in namespace llm-lab."


def test_a_prometheus_that_nobody_can_name_is_not_blamed() -> None:
    found = diagnose(with_prometheus(url="", error="Where Prometheus answers is not known.", **NO_TARGETS))
    assert found.broken is None
    assert [s.hop for s in found.steps if s.state == UNKNOWN] == ["scrape", "series"]


def test_one_version_of_the_metrics_api_is_enough_for_the_hpa() -> None:
    found = diagnose(
        with_api(services=(DOWN, replace(API.services[0], name="v1beta1.custom.metrics.k8s.io")))
    )
    assert found.broken is None
    assert "v1beta1.custom.metrics.k8s.io Available" in found.steps[5].finding.seen


def test_an_api_that_may_not_be_read_is_not_blamed() -> None:
    found = diagnose(with_api(names=(), names_error="forbidden", values={}))
    assert found.broken is None
    assert [s.hop for s in found.steps if s.state == UNKNOWN] == ["adapter", "metrics API"]


def test_a_misspelt_target_is_told_with_what_it_was_meant_to_be() -> None:
    found = diagnose(with_hpa(target="Deployment/llm-inference-servise"))
    assert found.broken
    assert "did you mean llm-inference-service?" in found.broken.finding.cause


def test_the_names_of_the_path_are_those_of_the_adapters_rules() -> None:
    rules = yaml.safe_load(RULES.read_text())["rules"]
    made = {r["name"]["as"]: r["name"]["matches"].strip("^$") for r in rules}
    assert made == SOURCES


def test_an_observation_can_be_kept_and_judged_again() -> None:
    for _, _, seen in FAULTS:
        assert Observation.from_json(seen.to_json()) == seen


def shown(found: Diagnosis) -> Mapping[str, str]:
    return Shown(found, "embedded")._repr_mimebundle_()


@pytest.mark.parametrize("file", STORED, ids=lambda file: file.stem)
def test_what_was_seen_on_a_real_cluster_is_judged_as_it_was_there(file: Path) -> None:
    stored = json.loads(file.read_text())
    found = diagnose(Observation.from_json(stored["seen"]))
    fault = found.broken.finding.fault if found.broken else ""
    assert (found.hop, fault) == (stored["hop"], stored["fault"])


def test_every_fault_that_is_planted_on_a_real_cluster_is_stored() -> None:
    planted = {name for name, *_ in PLANTED}
    assert {file.stem for file in STORED} == {*planted, "healthy", "healthy-cpu"}


def test_the_case_of_notebook_05_is_the_one_that_its_check_expects() -> None:
    file = "manifests/05-hpa-queue/cases/colleague.json"
    assert diagnose(case.load(file)).hop == "adapter"
    rows = case.read(file)
    assert {row["hop"] for row in rows} == {hop.name for hop in HOPS}
    assert "pods/vllm_queue_size" in next(r["seen"] for r in rows if r["hop"] == "adapter")


def test_a_diagnosis_reads_alike_in_a_cell_and_as_text() -> None:
    _, _, seen = FAULTS[0]
    bundle = shown(diagnose(seen))
    for words in ("✘ broken", "belongs to nobody", "Somebody changed a label", "pod/c runs"):
        assert words in bundle["text/plain"]
        assert words in bundle["text/html"]
    assert "Nothing is broken" in shown(diagnose(HEALTHY))["text/html"]
