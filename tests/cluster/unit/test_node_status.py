"""Pod status, back-off and GPU admission as the kubelet would have them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from localcluster.node.life.backoff import BackOff, restart_delay
from localcluster.node.pod.restarts import should_restart
from localcluster.node.pod.status import (
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


def view(
    *main: ContainerState,
    policy: str = "Always",
    init: tuple[ContainerState, ...] = (),
    init_policy: str = "",
) -> PodView:
    own = {"restartPolicy": init_policy} if init_policy else {}
    return PodView(
        spec={"restartPolicy": policy, "initContainers": [{"name": c.name, **own} for c in init]},
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
        ([container(DONE), container(CRASHING, last=FAILED)], "OnFailure", "Running"),
    ],
)
def test_phase(states: list[ContainerState], policy: str, expected: str) -> None:
    assert phase(view(*states, policy=policy)) == expected


def test_a_condition_that_somebody_wrote_without_a_time_gets_one() -> None:
    written = [{"type": "PodScheduled", "status": "True"}]
    status = pod_status(replace(view(container(RUNNING)), old_conditions=written))
    assert status["conditions"][-1]["lastTransitionTime"] == "1970-01-01T00:16:42Z"


def test_a_failed_init_container_fails_a_pod_that_never_restarts() -> None:
    init = ContainerState("i", "image", FAILED)
    assert phase(view(container(CREATING), policy="Never", init=(init,))) == "Failed"
    assert phase(view(container(CREATING), policy="Always", init=(init,))) == "Pending"


KILLED = Terminated(137, "Error", 1000.0, 1001.0)


def sidecar(state: State, *, last: Terminated | None = None) -> ContainerState:
    return ContainerState("s", "image", state, last=last, started=isinstance(state, Running))


@pytest.mark.parametrize("ended", [DONE, FAILED, KILLED])
@pytest.mark.parametrize(("main", "expected"), [(DONE, "Succeeded"), (FAILED, "Failed")])
def test_how_a_sidecar_ended_is_nothing_to_the_phase(ended: Terminated, main: State, expected: str) -> None:
    init = (sidecar(ended), sidecar(CRASHING, last=ended))
    over = view(container(main), policy="Never", init=init, init_policy="Always")
    assert phase(over) == expected
    assert conditions(over)["Initialized"][0] == "True"


def test_a_pod_with_a_living_sidecar_is_not_over() -> None:
    seen = view(container(DONE), policy="Never", init=(sidecar(RUNNING),), init_policy="Always")
    assert phase(seen) == "Running"


def test_a_sidecar_that_restarts_does_not_take_a_pod_back_to_pending() -> None:
    restarting = sidecar(CRASHING, last=FAILED)
    assert phase(view(container(RUNNING), init=(restarting,), init_policy="Always")) == "Running"
    unstarted = replace(sidecar(RUNNING), started=False)
    assert phase(view(container(RUNNING), init=(unstarted,), init_policy="Always")) == "Running"
    assert phase(view(container(CREATING), init=(unstarted,), init_policy="Always")) == "Pending"


@pytest.mark.parametrize("policy", ["Always", "OnFailure"])
def test_a_failing_init_container_is_tried_again_unless_nothing_restarts(policy: str) -> None:
    init = ContainerState("i", "image", CRASHING, last=FAILED)
    assert phase(view(container(CREATING), policy=policy, init=(init,))) == "Pending"
    assert phase(view(container(CREATING), policy="Never", init=(init,))) == "Failed"


def test_a_pod_is_not_over_while_containers_may_still_run() -> None:
    ending = replace(view(container(DONE), policy="Never"), alive=True, told_phase="Running")
    assert phase(ending) == "Running"
    late = replace(ending, failed=("DeadlineExceeded", "too long"))
    assert (pod_status(late)["phase"], "reason" in pod_status(late)) == ("Running", False)
    assert pod_status(replace(late, alive=False))["reason"] == "DeadlineExceeded"


def test_there_is_no_way_back_from_a_phase_that_is_the_end() -> None:
    for over in ("Succeeded", "Failed"):
        assert phase(replace(view(container(CREATING)), told_phase=over)) == over


def test_a_pod_that_was_deleted_before_it_began_has_failed() -> None:
    assert phase(replace(view(container(CREATING)), terminating=True)) == "Failed"


@pytest.mark.parametrize("waits", ["ContainerCreating", "PodInitializing"])
def test_a_pod_shows_its_address_when_a_first_start_is_through(waits: str) -> None:
    assert "podIP" not in pod_status(view(container(Waiting(waits))))
    for tried in (container(RUNNING), container(Waiting("ErrImagePull")), container(CREATING, last=FAILED)):
        assert pod_status(view(tried))["podIP"] == "10.244.1.2"


CODES = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
OTHERS = {"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [0, 1]}}


@pytest.mark.parametrize(
    ("container", "policy", "codes"),
    [
        ({}, "Always", {0: True, 1: True}),
        ({}, "OnFailure", {0: False, 1: True}),
        ({}, "Never", {0: False, 1: False}),
        ({"restartPolicy": "Never"}, "Always", {0: False, 1: False}),
        ({"restartPolicy": "OnFailure"}, "Never", {0: False, 1: True}),
        ({"restartPolicy": "Always"}, "Never", {0: True, 1: True}),
        ({"restartPolicy": "Never", "restartPolicyRules": [CODES]}, "Never", {0: False, 1: False, 42: True}),
        ({"restartPolicy": "Never", "restartPolicyRules": [OTHERS]}, "Always", {0: False, 1: False, 2: True}),
    ],
)
def test_a_container_restarts_by_its_rules_then_its_policy_then_the_pods(
    container: dict[str, Any], policy: str, codes: dict[int, bool]
) -> None:
    spec = {"restartPolicy": policy}
    assert {code: should_restart({"name": "c", **container}, spec, code) for code in codes} == codes


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
        "PodScheduled": ("True", None),
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
    for state, message in (
        ("True", None),
        ("False", 'the status of pod readiness gate "x/y" is not "True", but False'),
    ):
        seen = replace(gated, old_conditions=[{"type": "x/y", "status": state}])
        [ready] = [c for c in pod_status(seen)["conditions"] if c["type"] == "Ready"]
        assert (ready["status"], ready["message"]) == ("False" if message else "True", message)


def test_a_transition_time_stays_while_nothing_changes() -> None:
    first = pod_status(view(container(RUNNING)))["conditions"]
    later = replace(view(container(RUNNING)), old_conditions=first, now=2000.0)
    assert pod_status(later)["conditions"] == first
    ready = replace(view(container(RUNNING, ready=True)), old_conditions=first, now=2000.0)
    changed = {c["type"]: c["lastTransitionTime"] for c in pod_status(ready)["conditions"]}
    assert changed["Ready"] != changed["Initialized"]


def test_a_rejected_pod_has_failed_and_has_no_containers() -> None:
    rejected = replace(view(container(CREATING)), failed=("UnexpectedAdmissionError", "no"), sandbox=False)
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
