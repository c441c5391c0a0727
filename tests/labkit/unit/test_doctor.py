"""The doctor's judgement: a fault is blamed on its own hop, what follows from it is not, health is silent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from course import case
from labkit.doctor import extract
from labkit.doctor.deciding import AMBIGUOUS
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
from labkit.doctor.finding import AFFECTED, SKIPPED, UNKNOWN, WARNING, Diagnosis, Finding
from labkit.doctor.pipeline import HOPS, diagnose
from labkit.doctor.subject import QUEUE, SOURCES
from labkit.view.diagnosis import Shown
from localcluster import stored
from localcluster.data import DATA
from tests.labkit.live.test_doctor import PLANTED
from tests.labkit.live.test_doctor_kinds import KINDS

STORED = sorted((Path(__file__).parents[2] / "golden" / "doctor").glob("*.json"))
RULES = DATA / "adapter-rules.yaml"
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
UNSURE = replace(ACTIVE, status="False", reason=AMBIGUOUS)
SMOKE_TEST = Pod("smoke-test", APP, {}, owned=False, phase="Succeeded", containers=(Container("probe"),))
OF_A_JOB = replace(
    SMOKE_TEST, name="bench-x7", owned=True, owner="Job/bench", phase="Running", ready_for=60.0
)


def beside(seen: Observation, stranger: Pod) -> Observation:
    """The same with a pod that only the selector finds; the others are known to be the Deployment's."""
    owner = f"ReplicaSet/{NAME}-6c9f"
    own = (replace(p, owner=owner, phase="Running", containers=(SERVER,)) for p in seen.pods)
    return replace(seen, pods=(*own, stranger))


def release(name: str) -> tuple[Workload, Pod, Autoscaler]:
    """One of two releases of a service: the first one's selector finds the pods of both."""
    labels = {"app": "chat", **({"track": "canary"} if name == "canary" else {})}
    owned = {"owner": f"ReplicaSet/{name}-6c9f", "phase": "Running", "containers": (SERVER,)}
    made = pod(f"{name}-1", labels={"app": "chat", "track": name, "pod-template-hash": "6c9f"}, **owned)
    metrics = (Metric("Resource", "cpu", "Utilization"),)
    hpa = Autoscaler(name, f"Deployment/{name}", metrics, (ABLE, UNSURE))
    return Workload(name, 1, labels, (replace(SERVER, readiness=False),)), made, hpa


(STABLE, STABLE_POD, STABLE_HPA), (CANARY, CANARY_POD, CANARY_HPA) = release("stable"), release("canary")
RELEASES = replace(
    CPU,
    workloads=(STABLE, CANARY),
    pods=(STABLE_POD, CANARY_POD),
    autoscalers=(STABLE_HPA, CANARY_HPA),
    services=(),
    api=replace(CPU.api, values={"stable-1": "1", "canary-1": "1"}),
)
FAULTS: list[tuple[str, str, Observation]] = [
    ("pods", "released-pod", replace(HEALTHY, pods=(*HEALTHY.pods, LOST))),
    ("pods", "service-selector", replace(HEALTHY, services=(Service(NAME, {"app": "llm-modle"}),))),
    ("pods", "scaled-to-zero", replace(with_deployment(replicas=0), pods=())),
    ("pods", "no-pods", replace(HEALTHY, pods=())),
    ("pods", "pod-not-running", with_pods(ready_for=None, trouble="ErrImagePull")),
    ("pods", "pod-not-running", with_pods(ready_for=None, trouble="Unschedulable")),
    ("pods", "no-request", replace(CPU, workloads=(replace(DEPLOYMENT, containers=(Container("c"),)),))),
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
    (
        "HPA",
        "ambiguous-selector",
        with_hpa(conditions=(ABLE, Condition("ScalingActive", "False", AMBIGUOUS))),
    ),
    ("pods", "overlapping-selectors", RELEASES),
    ("pods", "overlapping-selectors", replace(RELEASES, asked="canary")),
    ("pods", "overlapping-selectors", replace(RELEASES, autoscalers=RELEASES.autoscalers[:1])),
    ("pods", "stranger-without-request", beside(CPU, SMOKE_TEST)),
    ("pods", "stranger-without-request", beside(CPU, replace(SMOKE_TEST, phase="Failed"))),
    ("pods", "stranger-without-request", beside(CPU, OF_A_JOB)),
    ("scale target", "no-target", with_hpa(target="Deployment/llm-inference-servise")),
    ("scale target", "two-writers", with_deployment(writers=("kubectl-client-side-apply (Update)",))),
    (
        "scale target",
        "no-room",
        replace(HEALTHY, pods=(*HEALTHY.pods, pod("c", ready_for=None, trouble="Unschedulable"))),
    ),
]

SECOND = replace(DEPLOYMENT, name="llm-canary", selector={**APP, "track": "canary"})
CANARY_OF_THE_LLM = pod(
    "canary", labels={**APP, "track": "canary", "pod-template-hash": "77"}, owner="ReplicaSet/llm-canary-77"
)
OF_THE_LLM = {"owner": f"ReplicaSet/{NAME}-6c9f"}
EMBEDDER = Workload("embedder", 1, {"app": "embedder"}, (SERVER,))
OTHER_HPA = replace(
    HPA, name="embedder", target="Deployment/embedder", conditions=(ABLE, replace(ACTIVE, status="False"))
)
ASTRAY = replace(HPA, name="typo", target="Deployment/llm-inferense")
WARNINGS: list[tuple[str, str, Observation]] = [
    ("pods", "no-readiness", with_deployment(containers=(replace(SERVER, readiness=False),))),
    ("pods", "stranger", beside(HEALTHY, SMOKE_TEST)),
    (
        "pods",
        "shared-service",
        replace(
            HEALTHY,
            workloads=(replace(DEPLOYMENT, selector={**APP, "track": "stable"}), SECOND),
            pods=(
                *with_pods(labels={**APP, "track": "stable", "pod-template-hash": "6c9f"}, **OF_THE_LLM).pods,
                CANARY_OF_THE_LLM,
            ),
        ),
    ),
    ("scale target", "two-writers", with_deployment(writers=(extract.REMEMBERED,))),
    (
        "scale target",
        "another-stopped",
        replace(HEALTHY, workloads=(DEPLOYMENT, EMBEDDER), autoscalers=(HPA, OTHER_HPA)),
    ),
    ("scale target", "another-without-target", replace(HEALTHY, autoscalers=(ASTRAY, HPA))),
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


@pytest.mark.parametrize(("hop", "fault", "seen"), WARNINGS, ids=[fault for _, fault, _ in WARNINGS])
def test_what_breaks_nothing_is_a_warning_and_hides_no_fault(hop: str, fault: str, seen: Observation) -> None:
    found = diagnose(seen)
    assert (found.broken, found.hop) == (None, "")
    assert found.warning
    assert (found.warning.hop, found.warning.finding.fault) == (hop, fault)
    assert found.summary == f"Nothing is broken, but {hop} could be better."
    assert found.warning.finding.fix in shown(found)["text/plain"]
    mute = diagnose(replace(seen, prometheus=with_prometheus(error="refused", **NO_TARGETS).prometheus))
    assert mute.hop == "scrape"
    assert {step.hop: step.state for step in mute.steps}[hop] == WARNING


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


def test_a_pod_without_a_probe_is_given_time_to_answer_and_no_longer() -> None:
    """It is ready as soon as its process runs: CI met one whose server did not listen yet."""
    silent = with_prometheus(targets=(Target("a", "http://a/metrics", "down", "refused"),), series=())
    unprobed = (replace(SERVER, readiness=False),)
    for seen, hop, then in (
        (replace(HEALTHY, pages=(Page("a", error="refused"),)), "metrics page", "metrics page"),
        (silent, "scrape", ""),  # the last scrape may have been before its probe succeeded
    ):
        lax = replace(seen, workloads=with_deployment(containers=unprobed).workloads)
        early = replace(lax, pods=with_pods(ready_for=1.0, containers=unprobed).pods)
        assert (diagnose(early).hop, first(early).fault) == ("", "no-readiness")
        assert diagnose(replace(early, pods=with_pods(containers=unprobed).pods)).hop == hop
        assert diagnose(replace(early, pods=with_pods(ready_for=1.0, containers=(SERVER,)).pods)).hop == then


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
    assert found.summary == "There is no path to check yet: nothing is deployed in namespace llm-lab."


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


def finding(seen: Observation) -> Finding:
    broken = diagnose(seen).broken
    assert broken
    return broken.finding


def first(seen: Observation) -> Finding:
    found = diagnose(seen).first
    assert found
    return found.finding


@pytest.mark.parametrize("kind", ["Resource", "Pods"])
@pytest.mark.parametrize("asked", ["stable", "canary"])
def test_overlapping_selectors_are_told_with_both_deployments_and_both_hpas(asked: str, kind: str) -> None:
    metrics = (Metric("Resource", "cpu", "Utilization"),) if kind == "Resource" else HPA.metrics
    hpas = tuple(replace(h, metrics=metrics) for h in RELEASES.autoscalers)
    found = finding(replace(RELEASES, asked=asked, autoscalers=hpas))
    for name in ("stable", "canary"):
        assert f"deployment/{name}" in found.seen
        assert f"hpa/{name}" in found.cause
    assert "AmbiguousSelector" in found.cause
    assert found.fix.startswith("Add track: stable to spec.selector.matchLabels of deployment/stable.")


def test_selectors_with_expressions_overlap_as_well() -> None:
    apart = replace(STABLE, selector={}, selects="app=chat,track notin (canary)")
    assert diagnose(replace(RELEASES, workloads=(apart, CANARY))).hop == "HPA"  # only the controller says so
    wide = replace(STABLE, selector={}, selects="app in (chat,talk)")
    assert "app in (chat,talk)" in finding(replace(RELEASES, workloads=(wide, CANARY))).seen


def test_a_pod_without_a_request_is_named_and_not_the_deployment() -> None:
    found = finding(beside(CPU, SMOKE_TEST))
    assert found.seen.startswith("pod/smoke-test (made by hand, Succeeded) has the labels that deployment/")
    assert "its container probe requests no cpu" in found.seen
    assert found.fix == (
        "kubectl delete pod smoke-test, or take the label off: kubectl label pod smoke-test app-"
    )
    assert "kubectl delete job bench" in finding(beside(CPU, OF_A_JOB)).fix


def test_pods_that_a_limit_range_gave_a_request_need_none_in_the_template() -> None:
    bare = replace(DEPLOYMENT, containers=(Container("model-server"),))
    given = beside(CPU, replace(SMOKE_TEST, labels={}))
    assert diagnose(replace(given, workloads=(bare,))).broken is None


def test_a_cpu_hpa_is_told_in_cpu() -> None:
    told = diagnose(CPU).steps[5].finding.seen
    assert "cpu: 1, 1" in told
    assert QUEUE not in told


def test_an_hpa_on_a_deployment_that_is_not_there_is_told_where_nothing_is_deployed() -> None:
    found = diagnose(replace(HEALTHY, workloads=(), pods=(), services=()))
    assert (found.hop, found.steps[0].state) == ("scale target", UNKNOWN)


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
        assert stored.made(Observation, stored.plain(seen)) == seen


def shown(found: Diagnosis) -> Mapping[str, str]:
    return Shown(found, "embedded")._repr_mimebundle_()


@pytest.mark.parametrize("file", STORED, ids=lambda file: file.stem)
def test_what_was_seen_on_a_real_cluster_is_judged_as_it_was_there(file: Path) -> None:
    case = json.loads(file.read_text())
    found = diagnose(stored.made(Observation, case["seen"])).first
    told = (found.hop, found.finding.fault) if found else ("", "")
    assert told == (case["hop"], case["fault"])


def test_every_fault_that_is_planted_on_a_real_cluster_is_stored() -> None:
    planted = {name for name, *_ in (*PLANTED, *KINDS)}
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
    for words in ("✘ broken", "no ReplicaSet owns it", "A label of that pod was changed", "pod/c runs"):
        assert words in bundle["text/plain"]
        assert words in bundle["text/html"]
    assert "Nothing is broken" in shown(diagnose(HEALTHY))["text/html"]
