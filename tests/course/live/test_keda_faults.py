"""Each fault of KEDA's path on real KEDA: `labkit doctor` and `labkit why` name its cause and its cure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from course.why.explain import Explanation
from course.why.reader import Reader
from course.why.session import Session
from labkit import clients, faults, pull_secret, reset
from labkit.doctor.finding import Step
from labkit.doctor.look import look
from labkit.doctor.pipeline import diagnose
from labkit.kube import Kube
from localcluster import polling
from localcluster.embedded.provider import Embedded
from tests.cluster.live.test_keda import apply, deployment, pytestmark, scaled, with_keda
from tests.grading.unit.grading_class import ROOT

__all__ = ["pytestmark", "with_keda"]

API_FAULT = ROOT / "manifests" / "11-keda" / "faults" / "apiservice.yaml"
LOGIN: dict[str, Any] = {
    "apiVersion": "keda.sh/v1alpha1",
    "kind": "TriggerAuthentication",
    "metadata": {"name": "login"},
    "spec": {
        "secretTargetRef": [{"parameter": p, "name": "nobody", "key": p} for p in ("ca", "cert", "key")]
    },
}
CPU = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
HPA: dict[str, Any] = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "mine"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "sleeper"},
        "minReplicas": 1,
        "maxReplicas": 4,
        "metrics": [{"type": "Resource", "resource": CPU}],
    },
}


@pytest.fixture
def with_image(cluster: Embedded, with_keda: Kube) -> Kube:
    """With the image that pods of these tests run, so that they become ready."""
    access = cluster.registry()
    assert access
    reset.model_image(access, print)
    pull_secret.make(with_keda, access, name=pull_secret.NAME)
    pull_secret.give(with_keda, pull_secret.NAME)
    with_keda.clock = cluster.spec().clock  # by which the doctor knows when pods have settled
    return with_keda


@dataclass(frozen=True)
class Fault:
    """What is applied; the doctor's hop and fault; what `labkit why` says of the cause and the cure."""

    objects: tuple[dict[str, Any], ...]
    hop: str
    fault: str
    why: str
    cure: str
    target: bool = True


def triggered(query: str, **change: Any) -> dict[str, Any]:
    made = scaled(query, minReplicaCount=1)
    made["spec"]["triggers"][0].update(change)
    return made


FAULTS = {
    "login": Fault(
        (LOGIN, triggered("vector(3)", authenticationRef={"name": "login"})),
        "ScaledObject",
        "no-authentication",
        "or the Secret that this names, is not there",
        "kubectl get secrets",
    ),
    "no target": Fault(
        (triggered("vector(3)"),),
        "ScaledObject",
        "no-scale-target",
        "does not exist, or has no scale",
        "spec.scaleTargetRef",
        target=False,
    ),
    "typo": Fault(
        (triggered("sum(vllm:num_requests_waiting"),),
        "query",
        "bad-query",
        "can't be asked, or does not answer with one number",
        "status 400",
    ),
    "empty": Fault(
        (triggered("sum(no_such_series) + (sum(another) or vector(0))"),),
        "query",
        "empty-query",
        "",
        "",
    ),
    "divided twice": Fault(
        (triggered("avg(up) or vector(0)"),),
        "query",
        "divided-twice",
        "an average is divided already",
        "metricType: Value",
    ),
    "two HPAs": Fault(
        (HPA, triggered("vector(3)")), "HPA", "second-hpa", "more than one HPA", "keep one HPA"
    ),
}


def told(kube: Kube) -> list[Explanation]:
    """What `labkit why scaledobject/sleeper` says at this moment."""
    return list(Session.of(Reader(kube), "scaledobject/sleeper", None).look(every=True))


def until_told(kube: Kube, why: str, cure: str) -> None:
    said: list[Explanation] = []

    def found() -> bool:
        said[:] = told(kube)
        return any(why in one.why and cure in one.fix for one in said)

    polling.until(found, f"labkit why to say {why!r}", seconds=60, last_seen=lambda: str(said))


def until_blamed(cluster: Embedded, kube: Kube, hop: str, fault: str) -> Step:
    seen: list[Step | None] = []

    def blamed() -> Step | None:
        seen[:] = [diagnose(look(kube, lambda: clients.prometheus(cluster))).broken]
        step = seen[0]
        return step if step and (step.hop, step.finding.fault) == (hop, fault) else None

    return polling.until(blamed, f"the doctor to blame {hop}", seconds=60, last_seen=lambda: str(seen))


@pytest.mark.parametrize("name", FAULTS)
def test_doctor_and_why_name_the_fault_and_its_cure(cluster: Embedded, with_image: Kube, name: str) -> None:
    fault = FAULTS[name]
    if fault.target:
        deployment(with_image)
        with_image.until("deployment/sleeper available", seconds=60)
    for obj in fault.objects:
        apply(with_image, obj)
    step = until_blamed(cluster, with_image, fault.hop, fault.fault)
    assert step.finding.cause
    assert step.finding.fix
    if fault.why:
        until_told(with_image, fault.why, fault.cure)


def test_an_empty_query_that_keeps_it_asleep_is_named(with_keda: Kube) -> None:
    """KEDA calls it ready, and 0 is what it expects at night."""
    deployment(with_keda, replicas=0)
    apply(with_keda, scaled("sum(no_such_series) + (sum(another) or vector(0))"))
    until_told(with_keda, "A query without a value counts as 0", "or vector(0)")


def test_an_api_that_leads_elsewhere_is_named_although_the_scaled_object_is_ready(
    cluster: Embedded, with_image: Kube
) -> None:
    with_keda = with_image
    deployment(with_keda)
    with_keda.until("deployment/sleeper available", seconds=60)
    apply(with_keda, scaled("vector(3)", minReplicaCount=1))
    with_keda.until("hpa/keda-hpa-sleeper ScalingActive", seconds=60)
    faults.plant(with_keda, API_FAULT, owned=True)
    try:
        with_keda.until("hpa/keda-hpa-sleeper not ScalingActive", seconds=60)
        assert with_keda.object("scaledobject/sleeper").is_true("Ready")
        step = until_blamed(cluster, with_keda, "metrics API", "api-unavailable")
        assert "monitoring/adapter" in step.finding.seen
        until_told(with_keda, "leads to service monitoring/adapter", "spec.service")
    finally:
        faults.lift(with_keda)
    with_keda.until("hpa/keda-hpa-sleeper ScalingActive", seconds=60)
