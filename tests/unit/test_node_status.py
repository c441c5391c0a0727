"""Pod status, back-off and GPU admission as the kubelet would have them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from labkit.node.life.backoff import BackOff, restart_delay
from labkit.node.pod.status import (
    ContainerState,
    PodView,
    Running,
    State,
    Terminated,
    Waiting,
    container_status,
    phase,
    pod_status,
)

CREATING = Waiting("ContainerCreating")
RUNNING = Running(1000.0)
DONE = Terminated(0, "Completed", 1000.0, 1001.0)
FAILED = Terminated(1, "Error", 1000.0, 1001.0)
CRASHING = Waiting("CrashLoopBackOff", "back-off 10s restarting failed container=c")


def container(state: State, *, last: Terminated | None = None, ready: bool = False) -> ContainerState:
    return ContainerState("c", "image", state, last=last, ready=ready, started=isinstance(state, Running))


def view(*main: ContainerState, policy: str = "Always", init: tuple[ContainerState, ...] = ()) -> PodView:
    return PodView(
        spec={"restartPolicy": policy, "initContainers": [{"name": c.name} for c in init]},
        generation=1,
        old_conditions=(),
        init=init,
        main=main,
        sandbox=True,
        host_ip="127.0.0.1",
        pod_ip="10.244.1.2",
        started_at=1000.0,
        now=1002.0,
    )


@pytest.mark.parametrize(
    ("states", "policy", "expected"),
    [
        ([container(CREATING)], "Always", "Pending"),
        ([container(RUNNING)], "Always", "Running"),
        ([container(RUNNING), container(CREATING)], "Always", "Pending"),
        ([container(CRASHING, last=FAILED)], "Always", "Running"),
        ([container(DONE)], "Always", "Running"),
        ([container(DONE)], "OnFailure", "Succeeded"),
        ([container(DONE), container(FAILED)], "Never", "Failed"),
        ([container(DONE), container(RUNNING)], "Never", "Running"),
        ([container(CRASHING, last=FAILED)], "OnFailure", "Running"),
    ],
)
def test_phase(states: list[ContainerState], policy: str, expected: str) -> None:
    assert phase(view(*states, policy=policy)) == expected


def test_a_failed_init_container_fails_a_pod_that_never_restarts() -> None:
    init = ContainerState("i", "image", FAILED)
    assert phase(view(container(CREATING), policy="Never", init=(init,))) == "Failed"
    assert phase(view(container(CREATING), policy="Always", init=(init,))) == "Pending"


def test_a_terminating_pod_ends_as_its_containers_did() -> None:
    ending = replace(view(container(DONE)), terminating=True)
    assert phase(ending) == "Succeeded"
    assert phase(replace(view(container(FAILED)), terminating=True)) == "Failed"


def conditions(seen: PodView) -> dict[str, tuple[str, Any]]:
    return {c["type"]: (c["status"], c["reason"]) for c in pod_status(seen)["conditions"]}


def test_conditions_of_a_pod_that_is_not_ready() -> None:
    found = conditions(view(container(RUNNING)))
    assert found == {
        "PodReadyToStartContainers": ("True", None),
        "Initialized": ("True", None),
        "Ready": ("False", "ContainersNotReady"),
        "ContainersReady": ("False", "ContainersNotReady"),
    }


def test_conditions_of_a_job_that_is_done() -> None:
    found = conditions(view(container(DONE), policy="Never"))
    assert found["Ready"] == ("False", "PodCompleted")
    assert found["Initialized"] == ("True", "PodCompleted")


def test_a_readiness_gate_holds_back_ready_alone() -> None:
    gated = view(container(RUNNING, ready=True))
    gated = replace(gated, spec=gated.spec | {"readinessGates": [{"conditionType": "x/y"}]})
    assert conditions(gated)["Ready"] == ("False", "ReadinessGatesNotReady")
    assert conditions(gated)["ContainersReady"] == ("True", None)


def test_a_transition_time_stays_while_nothing_changes() -> None:
    first = pod_status(view(container(RUNNING)))["conditions"]
    later = replace(view(container(RUNNING)), old_conditions=first, now=2000.0)
    assert pod_status(later)["conditions"] == first
    ready = replace(view(container(RUNNING, ready=True)), old_conditions=first, now=2000.0)
    changed = {c["type"]: c["lastTransitionTime"] for c in pod_status(ready)["conditions"]}
    assert changed["Ready"] != changed["Initialized"]


def test_a_rejected_pod_has_failed_and_has_no_containers() -> None:
    rejected = replace(view(container(CREATING)), rejected=("UnexpectedAdmissionError", "no"), sandbox=False)
    status = pod_status(rejected)
    assert (status["phase"], status["reason"]) == ("Failed", "UnexpectedAdmissionError")
    assert "containerStatuses" not in status


def test_a_crash_loop_shows_how_it_ended_last() -> None:
    status = container_status(container(CRASHING, last=FAILED))
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["lastState"]["terminated"]["exitCode"] == 1


def test_a_status_says_how_each_gpu_is() -> None:
    status = container_status(replace(container(RUNNING), gpus={"GPU-a": True, "GPU-b": False}))
    [gpus] = status["allocatedResourcesStatus"]
    health = {device["resourceID"]: device["health"] for device in gpus["resources"]}
    assert (gpus["name"], health) == ("nvidia.com/gpu", {"GPU-a": "Healthy", "GPU-b": "Unhealthy"})
    assert "allocatedResourcesStatus" not in container_status(container(RUNNING))


def test_restarts_wait_0_10_20_40_seconds_and_at_most_5_minutes() -> None:
    backoff, now, waited = BackOff(), 0.0, []
    for _ in range(8):
        waited.append(restart_delay(backoff, ended=now, now=now))
        now += waited[-1]
        backoff.fail(now)
        now += 1  # it runs for a second
    assert waited == [0, 10, 20, 40, 80, 160, 300, 300]


def test_ten_good_minutes_are_forgiven() -> None:
    backoff = BackOff()
    for _ in range(5):
        backoff.fail(0.0)
    assert backoff.fail(601.0) == 10


def test_time_since_the_end_counts_towards_the_back_off() -> None:
    backoff = BackOff()
    backoff.fail(0.0)
    assert restart_delay(backoff, ended=100.0, now=107.0) == 3
    assert restart_delay(backoff, ended=100.0, now=200.0) == 0
