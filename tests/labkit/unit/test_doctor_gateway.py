"""The doctor's hop in front of the pods: each fault of a gateway is named, with cause and fix."""

from dataclasses import replace
from typing import Any

import pytest

from labkit.doctor.facts import Gateway, Observation, Pool
from labkit.doctor.finding import Finding
from labkit.doctor.gateway import QUEUE, gateway
from labkit.doctor.pipeline import HOPS, diagnose
from tests.labkit.unit.test_doctor import APP, DEPLOYMENT, HEALTHY, SERVER, pod

POOL = Pool("llm-pool", APP, (8000,))
OPEN = Gateway((POOL,), ready=2, held=0, saturation=0.4, waiting={"a": 1, "b": 3})
PODS = (pod("a", containers=(SERVER,)), pod("b", containers=(SERVER,)))
GOOD = replace(HEALTHY, gateway=OPEN, pods=PODS)


def seen(**change: Any) -> Observation:
    return replace(GOOD, gateway=replace(OPEN, **change))


ASLEEP = replace(
    seen(held=1, ready=0, saturation=1, waiting={}, queries=("sum(vllm:num_requests_running)",)),
    pods=(),
    workloads=(replace(DEPLOYMENT, replicas=0),),
)
FAULTS: dict[str, Observation] = {
    "pool-selector": seen(pools=(replace(POOL, selector={"app": "llm-server"}),)),
    "pool-port": seen(pools=(replace(POOL, ports=(8080,)),)),
    "no-picker": seen(ready=None),
    "asleep": ASLEEP,
    "stale": seen(held=6, saturation=1.0, waiting={"a": 0, "b": 0}),
    "shut-for-idle-servers": seen(held=37, saturation=3.75, waiting={"a": 15, "b": 0}),
    "evicted": seen(away={"EvictedTTL": 4}),
    "rejected": seen(away={"RejectedCapacity": 43}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_with_cause_and_fix(fault: str) -> None:
    found = gateway(FAULTS[fault])
    assert (found.state, found.fault) == ("broken", fault)
    assert all((found.seen, found.cause, found.fix))
    assert diagnose(FAULTS[fault]).hop == "gateway"


FINE = {
    "open": GOOD,
    "all wait": seen(held=20, saturation=1.2, waiting={"a": 6, "b": 6}),
    "wakes": replace(ASLEEP, gateway=replace(ASLEEP.gateway or OPEN, queries=(f"sum({QUEUE})",))),
    "scaled to none": replace(ASLEEP, gateway=replace(OPEN, ready=0, waiting={})),
    "clients left": seen(away={"EvictedContextCancelled": 3}),
}


@pytest.mark.parametrize("what", FINE)
def test_what_a_gateway_is_for_is_no_fault(what: str) -> None:
    assert gateway(FINE[what]).state == "ok"


def test_without_a_gateway_there_is_no_such_hop() -> None:
    assert [step.hop for step in diagnose(HEALTHY).steps] == [hop.name for hop in HOPS]
    assert diagnose(GOOD).steps[0].hop == "gateway"


def test_what_prometheus_could_not_tell_is_not_judged() -> None:
    found: Finding = gateway(seen(error="Prometheus does not answer"))
    assert (found.state, found.seen) == ("unknown", "Prometheus does not answer")
