"""What a node refuses of pods that were put on it past the scheduler, in the kubelet's words."""

from __future__ import annotations

import pytest

from localcluster.api import Json
from localcluster.node.fitting import Rejection, check, requested

NODE: Json = {
    "metadata": {"name": "n1", "labels": {"zone": "a", "gpus": "4", "odd": "1_000", "large": "9" * 20}},
    "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "3"}},
}


def container(name: str = "c", **requests: str) -> Json:
    return {"name": name, "resources": {"requests": requests}}


def refusal(spec: Json, *others: Json, labels: Json | None = None) -> tuple[str, str]:
    pod = {"metadata": {"labels": labels or {}}, "spec": {"containers": [container()], **spec}}
    try:
        check(pod, NODE, others)
    except Rejection as error:
        return error.reason, error.message
    return "", ""


@pytest.mark.parametrize(
    ("wanted", "reason", "message"),
    [
        ({"cpu": "1000"}, "OutOfcpu", "cpu, requested: 1000000, used: 500, capacity: 4000"),
        ({"cpu": "3501m"}, "OutOfcpu", "cpu, requested: 3501, used: 500, capacity: 4000"),
        ({"cpu": "3500m"}, "", ""),
        (
            {"memory": "8Gi"},
            "OutOfmemory",
            "memory, requested: 8589934592, used: 1048576, capacity: 8589934592",
        ),
    ],
)
def test_what_is_not_there_is_not_given(wanted: dict[str, str], reason: str, message: str) -> None:
    other = {"containers": [container(cpu="500m", memory="1Mi")]}
    said = f"Node didn't have enough resource: {message}" if message else ""
    assert refusal({"containers": [container(**wanted)]}, other) == (reason, said)


def test_a_node_takes_so_many_pods() -> None:
    full = [{"containers": [container()]}] * 3
    assert refusal({}, *full) == (
        "OutOfpods",
        "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3",
    )
    assert refusal({}, *full[1:]) == ("", "")


def test_a_pod_asks_for_what_it_needs_at_its_widest() -> None:
    sidecar = container("s", cpu="1") | {"restartPolicy": "Always"}
    spec = {"initContainers": [sidecar, container("i", cpu="3")], "containers": [container(cpu="2")]}
    assert requested(spec, "cpu") == 4
    assert requested(spec | {"containers": [container(cpu="5")], "overhead": {"cpu": "250m"}}, "cpu") == 6.25
    assert requested(spec | {"resources": {"requests": {"cpu": "1"}}}, "cpu") == 1


def affinity(*terms: Json) -> Json:
    required = {"nodeSelectorTerms": list(terms)}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


def expression(key: str, operator: str, *values: str) -> Json:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({"nodeSelector": {"zone": "a"}}, True),
        ({"nodeSelector": {"zone": "b"}}, False),
        (affinity(expression("zone", "In", "b", "a")), True),
        (affinity(expression("zone", "NotIn", "a")), False),
        (affinity(expression("disk", "NotIn", "a")), True),
        (affinity(expression("disk", "Exists")), False),
        (affinity(expression("disk", "DoesNotExist")), True),
        (affinity(expression("gpus", "Gt", "3")), True),
        (affinity(expression("gpus", "Lt", "4")), False),
        (affinity(expression("zone", "Gt", "4")), False),
        (affinity(expression("odd", "Gt", "4")), False),
        (affinity(expression("large", "Gt", "4")), False),
        (affinity(expression("zone", "In", "b"), expression("zone", "In", "a")), True),
        (affinity({}), False),
        (affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}), True),
    ],
)
def test_a_node_that_is_not_wanted_refuses(spec: Json, fits: bool) -> None:  # noqa: FBT001
    said = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    assert refusal(spec) == (("", "") if fits else ("NodeAffinity", said))


@pytest.mark.parametrize(
    ("one", "other", "free"),
    [
        ({"hostPort": 80}, {"hostPort": 80}, False),
        ({"hostPort": 80, "hostIP": "127.0.0.1"}, {"hostPort": 80}, False),
        ({"hostPort": 80, "hostIP": "127.0.0.1"}, {"hostPort": 80, "hostIP": "127.0.0.2"}, True),
        ({"hostPort": 80, "protocol": "UDP"}, {"hostPort": 80}, True),
        ({"containerPort": 80}, {"hostPort": 80}, True),
    ],
)
def test_a_host_port_has_one_holder(one: Json, other: Json, free: bool) -> None:  # noqa: FBT001
    def pod(port: Json) -> Json:
        return {"containers": [{"name": "c", "ports": [port]}]}

    assert refusal(pod(one), pod(other))[0] == ("" if free else "NodePorts")


def test_what_this_node_is_not_is_said() -> None:
    assert refusal({"os": {"name": "windows"}})[0] == "PodOSNotSupported"
    assert refusal({"os": {"name": "linux"}})[0] == ""
    assert refusal({}, labels={"kubernetes.io/os": "windows"})[0] == "PodOSSelectorNodeLabelDoesNotMatch"
    rules = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}]
    asks = {"containers": [container() | {"restartPolicy": "Never", "restartPolicyRules": rules}]}
    assert refusal(asks)[0] == "PodFeatureUnsupported"
