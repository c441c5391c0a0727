"""The doctor's judgement of an HPA that KEDA feeds: each fault is named at its hop, with cause and fix."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from labkit.doctor import extract
from labkit.doctor.facts import (
    ApiService,
    Condition,
    Metric,
    MetricsApi,
    Observation,
    ScaledObject,
    Trigger,
)
from labkit.doctor.finding import OK, SKIPPED, UNKNOWN, Diagnosis
from labkit.doctor.pipeline import KEDA_HOPS, diagnose
from localcluster.api.objects import KubeObject
from tests.labkit.unit.test_doctor import HPA, NAME, with_hpa

GROUP = "external.metrics.k8s.io"
SERVED = ApiService(f"v1beta1.{GROUP}", available=True, service="keda/keda-metrics-apiserver")
API = MetricsApi(GROUP, (SERVED,), names=("externalmetrics",), values={"s0-prometheus": "23"})
METRIC = Metric("External", "s0-prometheus", "AverageValue", selector=f"scaledobject.keda.sh/name={NAME}")
QUERY = 'sum(vllm:num_requests_waiting{namespace="llm-lab"}) or vector(0)'
ASKED = Trigger("prometheus", QUERY, answer=("23",), known=True)
READY = Condition("Ready", "True", "ScaledObjectReady", "ScaledObject is defined correctly")
MADE = ScaledObject(NAME, f"Deployment/{NAME}", (ASKED,), (READY, Condition("Active", "True")))


def seen(scaled: ScaledObject = MADE, api: MetricsApi = API, **hpa: Any) -> Observation:
    made = with_hpa(metrics=(METRIC,), scaled=NAME, **hpa)
    return replace(made, scaled=(scaled,), api=api)


def trigger(**change: Any) -> Observation:
    return seen(replace(MADE, triggers=(replace(ASKED, **change),)))


def not_ready(reason: str, message: str, **change: Any) -> Observation:
    """KEDA refuses it, and so makes no HPA."""
    ready = Condition("Ready", "False", reason, message)
    found = seen(replace(MADE, conditions=(ready,), **change))
    return replace(found, autoscalers=())


def states(found: Diagnosis) -> dict[str, str]:
    return {step.hop: step.state for step in found.steps}


def test_a_healthy_path_goes_from_the_pods_through_keda_to_the_hpa() -> None:
    found = diagnose(seen())
    assert [step.hop for step in found.steps] == [hop.name for hop in KEDA_HOPS]
    assert set(states(found).values()) == {OK}, states(found)
    told = {step.hop: step.finding.seen for step in found.steps}
    assert told["query"] == "the query returns 23"
    assert told["ScaledObject"] == f"scaledobject/{NAME} is Ready, and active"
    assert "vllm:num_requests_waiting" in told["series"]


def test_an_hpa_that_keda_did_not_make_has_the_adapters_hop() -> None:
    other = replace(seen(), autoscalers=(replace(HPA, scaled=""),))
    assert "adapter" in states(diagnose(other))


EMPTY = "error parsing prometheus metadata: cert=<empty> and key=<empty> are required"
LOGIN = replace(ASKED, authentication="triggerauthentication/login", lacking="secret/prometheus-client")
TAKEN = 'horizontalpodautoscalers.autoscaling "llm-hpa" already exists'
FAULTS = [
    ("ScaledObject", "no-authentication", not_ready("ScaledObjectCheckFailed", EMPTY, triggers=(LOGIN,))),
    (
        "ScaledObject",
        "no-scale-target",
        not_ready("ScaledObjectCheckFailed", "no such target", target="Deployment/llm-inference"),
    ),
    ("ScaledObject", "hpa-exists", not_ready("ScaledObjectCheckFailed", TAKEN)),
    ("ScaledObject", "not-ready", not_ready("ScaledObjectCheckFailed", "something else")),
    ("query", "bad-query", trigger(error="Prometheus can't read this query: parse error", answer=())),
    ("query", "divided-twice", trigger(query=QUERY.replace("sum", "avg"))),
    ("query", "value-of-a-sum", trigger(target="Value")),
    ("query", "empty-query", trigger(query="sum(vllm:requests_waiting)", answer=())),
    ("query", "empty-query", trigger(query=f"sum(gateway) + {QUERY}", answer=())),
    ("query", "many-series", trigger(query="vllm:num_requests_waiting", answer=("11", "12"))),
    (
        "metrics API",
        "api-unavailable",
        seen(api=MetricsApi(GROUP, (replace(SERVED, available=False, service="monitoring/adapter"),))),
    ),
]


@pytest.mark.parametrize(
    ("hop", "fault", "observed"), FAULTS, ids=[f"{f}-{i}" for i, (_, f, _) in enumerate(FAULTS)]
)
def test_each_fault_is_named_at_its_hop(hop: str, fault: str, observed: Observation) -> None:
    found = diagnose(observed)
    assert found.broken
    assert (found.broken.hop, found.broken.finding.fault) == (hop, fault)
    assert found.broken.finding.cause
    assert found.broken.finding.fix


def test_what_a_fault_says_leads_to_its_cure() -> None:
    told = {fault: diagnose(one).broken for _, fault, one in FAULTS}
    login = told["no-authentication"]
    assert login
    assert "triggerauthentication/login names secret/prometheus-client" in login.finding.seen
    assert "cert=<empty>" in login.finding.cause
    target = told["no-scale-target"]
    assert target
    assert f"did you mean {NAME}?" in target.finding.cause
    taken = told["hpa-exists"]
    assert taken
    assert "scaledobject.keda.sh/transfer-hpa-ownership" in taken.finding.fix
    [typo] = [one for _, fault, one in FAULTS if fault == "empty-query" and "sum(gateway)" not in repr(one)]
    found = diagnose(typo).broken
    assert found
    assert "did you mean vllm:num_requests_waiting?" in found.finding.cause
    assert "which KEDA takes for 0" in found.finding.seen


def test_two_hpas_are_two_also_where_one_is_kedas() -> None:
    one = seen()
    mine = replace(one.autoscalers[0], name="other", scaled="")
    found = diagnose(replace(one, autoscalers=(*one.autoscalers, mine)))
    assert found.broken
    assert found.broken.finding.fault == "second-hpa"


@pytest.mark.parametrize(
    ("observed", "hop", "state"),
    [
        (seen(replace(MADE, conditions=())), "ScaledObject", UNKNOWN),
        (seen(replace(MADE, triggers=(Trigger("cron"),))), "query", SKIPPED),
        (seen(replace(MADE, triggers=())), "query", SKIPPED),
        (trigger(known=False, answer=()), "query", UNKNOWN),
    ],
)
def test_what_can_not_be_known_is_not_blamed(observed: Observation, hop: str, state: str) -> None:
    found = diagnose(observed)
    assert states(found)[hop] == state
    assert not found.broken


def test_a_pause_is_a_warning() -> None:
    paused = Condition("Paused", "True", "ScaledObjectPaused", "")
    found = diagnose(seen(replace(MADE, conditions=(READY, paused))))
    assert found.warning
    assert found.warning.finding.fault == "paused"


def test_a_scaled_object_is_read_with_kedas_defaults() -> None:
    raw: dict[str, Any] = {
        "metadata": {"name": NAME},
        "spec": {
            "scaleTargetRef": {"name": NAME},
            "triggers": [
                {
                    "type": "prometheus",
                    "metadata": {"query": f" {QUERY}\n", "ignoreNullValues": "false"},
                    "authenticationRef": {"name": "login"},
                },
                {"type": "cron", "metadata": {}},
            ],
        },
        "status": {"conditions": [{"type": "Paused", "status": "False"}]},
    }
    found = extract.scaled_object(KubeObject(raw))
    assert found.target == f"Deployment/{NAME}"
    first, second = found.triggers
    assert first == Trigger("prometheus", QUERY, "AverageValue", False, "triggerauthentication/login")
    assert (second.query, second.authentication, second.empty_is_zero) == ("", "", True)
