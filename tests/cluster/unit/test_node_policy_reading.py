"""A policy that can't be read denies, and says why; a pod counts as long as it has an address of its own."""

from __future__ import annotations

from typing import Any

import pytest

from localcluster.node.policy import pods
from localcluster.node.policy.pods import NamedPort, Pod
from localcluster.node.policy.reading import read
from tests.cluster.unit.policy_world import WORLD, Policy, pod, policy, rules

DB, WEB = pod(2, "shop", app="db"), pod(3, "shop", app="web")
SELECTS = {"podSelector": {"matchLabels": {"app": "db"}}}


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"from": [{}]}, "from[0] has no selector"),
        ({"from": [{"podSelector": {}, "ipBlock": {"cidr": "0.0.0.0/0"}}]}, "ipBlock and podSelector"),
        ({"from": [{"accounts": {}}]}, "from[0] says 'accounts'"),
        ({"via": []}, "spec.ingress[1] says 'via'"),
        ({"ports": [{"protocol": "QUIC"}]}, "says 'QUIC'"),
        ({"ports": [{"port": "http", "endPort": 9}]}, "endPort 9"),
        ({"ports": [{"port": 10, "endPort": 9}]}, "endPort 9"),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}, "cidr is no block"),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8"]}}]}, "not within"),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["::/8"]}}]}, "not within"),
        (
            {
                "from": [
                    {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Like", "values": ["b"]}]}}
                ]
            },
            "says 'Like'",
        ),
        ({"from": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}]}, "values"),
    ],
)
def test_a_rule_that_is_not_understood(rule: Policy, fault: str) -> None:
    spec = {**SELECTS, "ingress": [{}, rule]}
    assert fault in read(policy(spec)).fault
    found = rules([policy(spec)], [DB, WEB])
    assert not found.allow(WORLD, DB.ip)
    assert found.allow(DB.ip, WORLD)
    assert found.allow(WORLD, WEB.ip)


def test_an_unknown_direction_denies_both() -> None:
    found = rules([policy({**SELECTS, "policyTypes": ["Ingress", "Sideways"], "ingress": [{}]})], [DB, WEB])
    assert not found.allow(WORLD, DB.ip)
    assert not found.allow(DB.ip, WORLD)
    assert found.allow(WEB.ip, WORLD)


def test_an_unknown_selector_denies_all_pods_of_the_namespace() -> None:
    found = rules([policy({"podSelector": {"matchNames": ["db"]}, "ingress": [{}]})], [DB, WEB])
    assert not found.allow(WORLD, DB.ip)
    assert not found.allow(WORLD, WEB.ip)


def api_pod(*, phase: str = "Running", ip: str = "10.244.1.7", **spec: Any) -> dict[str, Any]:
    meta = {"namespace": "shop", "name": "db", "uid": "u", "labels": {"app": "db"}}
    return {"metadata": meta, "spec": {"containers": [], **spec}, "status": {"phase": phase, "podIP": ip}}


def test_the_ports_of_a_pod_by_name() -> None:
    http = {"name": "http", "containerPort": 8000}
    containers = [
        {"ports": [http, {"containerPort": 1}]},
        {"ports": [{**http, "containerPort": 2}, {**http, "containerPort": 3, "protocol": "UDP"}]},
    ]
    init = [
        {"ports": [{"name": "early", "containerPort": 4}]},
        {"ports": [{"name": "side", "containerPort": 5}], "restartPolicy": "Always"},
    ]
    assert pods.read(api_pod(containers=containers, initContainers=init)) == Pod(
        "shop",
        {"app": "db"},
        "10.244.1.7",
        (NamedPort("http", "tcp", 8000), NamedPort("http", "udp", 3), NamedPort("side", "tcp", 5)),
    )


@pytest.mark.parametrize(
    "gone",
    [api_pod(phase="Succeeded"), api_pod(phase="Failed"), api_pod(hostNetwork=True), api_pod(ip="fd00::1")],
)
def test_pods_that_do_not_count(gone: dict[str, Any]) -> None:
    assert pods.read(gone) is None
