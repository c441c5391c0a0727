"""NetworkPolicies let through what the API's documentation says, no more and no less.

https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

from typing import Any

import pytest

from localcluster.node.policy.compile import ruleset
from localcluster.node.policy.pods import NamedPort, Pod
from localcluster.node.policy.reading import read
from tests.cluster.unit.policy_world import NAMESPACES, NODE, WORLD, Policy, Rules, pod, policy, rules

HTTP, HTTP_TOO = NamedPort("http", "tcp", 8000), NamedPort("http", "tcp", 9000)
DB = pod(2, "shop", ports=(HTTP, NamedPort("dns", "udp", 53)), app="db")
WEB = pod(3, "shop", ports=(HTTP_TOO,), app="web", tier="front")
LOAD = pod(4, "bench", ports=(HTTP,), app="web")
ADMIN = pod(5, "ops", app="admin")
PODS = (DB, WEB, LOAD, ADMIN)
ON_DB = {"podSelector": {"matchLabels": {"app": "db"}}}
EVERYONE = {"10.244.1.3", "10.244.1.4", "10.244.1.5", WORLD}


def ingress(*allowed: Any) -> Rules:
    return rules([policy({**ON_DB, "policyTypes": ["Ingress"], "ingress": list(allowed)})], PODS)


def egress(*allowed: Any) -> Rules:
    return rules([policy({**ON_DB, "policyTypes": ["Egress"], "egress": list(allowed)})], PODS)


def admitted(found: Rules, port: int = 8000, protocol: str = "tcp") -> set[str]:
    """Who reaches the database."""
    return {source for source in EVERYONE if found.allow(source, DB.ip, port, protocol)}


def reached(found: Rules, port: int = 8000, protocol: str = "tcp") -> set[str]:
    """Whom the database reaches."""
    return {other for other in {*EVERYONE, NODE} if found.allow(DB.ip, other, port, protocol)}


def test_without_policies_everything_passes() -> None:
    found = rules([], PODS)
    assert admitted(found) == EVERYONE
    assert set(found.chains) == {"forward", "input"}


def test_no_rules_deny_all_in_this_direction_only() -> None:
    assert admitted(ingress()) == set()
    assert reached(ingress()) == {*EVERYONE, NODE}
    assert reached(egress()) == set()
    assert admitted(egress()) == EVERYONE


def test_pods_that_no_policy_selects_are_open() -> None:
    found = ingress()
    assert found.allow(LOAD.ip, WEB.ip)
    assert found.allow(WORLD, LOAD.ip)


def test_a_pod_always_reaches_itself() -> None:
    found = rules([policy({**ON_DB, "policyTypes": ["Ingress", "Egress"]})], PODS)
    assert found.allow(DB.ip, DB.ip)


@pytest.mark.parametrize("rule", [{}, {"from": []}, {"from": None, "ports": []}])
def test_an_empty_rule_allows_everyone(rule: Policy) -> None:
    assert admitted(ingress(rule)) == EVERYONE
    assert admitted(ingress(rule), 9, "icmp") == EVERYONE


@pytest.mark.parametrize(
    ("peer", "who"),
    [
        ({"podSelector": {}}, {WEB.ip}),
        ({"podSelector": {"matchLabels": {"app": "admin"}}}, set()),
        ({"namespaceSelector": {}}, {WEB.ip, LOAD.ip, ADMIN.ip}),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, {LOAD.ip}),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ops"}}}, {ADMIN.ip}),
        (
            {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}},
            {ADMIN.ip},
        ),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "web"}}}, {WEB.ip, LOAD.ip}),
        (
            {
                "namespaceSelector": {},
                "podSelector": {
                    "matchExpressions": [
                        {"key": "app", "operator": "In", "values": ["web", "admin"]},
                        {"key": "tier", "operator": "NotIn", "values": ["front"]},
                    ]
                },
            },
            {LOAD.ip, ADMIN.ip},
        ),
        ({"podSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}}, {WEB.ip}),
        ({"ipBlock": {"cidr": "203.0.113.0/24"}}, {WORLD}),
        ({"ipBlock": {"cidr": "0.0.0.0/0"}}, EVERYONE),
        ({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}, {WORLD}),
        ({"ipBlock": {"cidr": "10.244.0.0/16", "except": ["10.244.1.4/31", "10.244.1.4/32"]}}, {WEB.ip}),
        ({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["0.0.0.0/1", "128.0.0.0/1"]}}, set()),
        ({"ipBlock": {"cidr": "::/0"}}, set()),
    ],
)
def test_peers(peer: Policy, who: set[str]) -> None:
    assert admitted(ingress({"from": [peer]})) == who
    assert reached(egress({"to": [peer]})) - {NODE} == who


def test_one_peer_with_two_selectors_is_not_two_peers() -> None:
    namespaces: Policy = {"namespaceSelector": {"matchLabels": {"team": "b"}}}
    pods: Policy = {"podSelector": {}}
    assert admitted(ingress({"from": [namespaces | pods]})) == {LOAD.ip}
    assert admitted(ingress({"from": [namespaces, pods]})) == {LOAD.ip, WEB.ip}


@pytest.mark.parametrize(
    ("ports", "opened", "closed"),
    [
        ([{"port": 8000}], [(8000, "tcp")], [(8000, "udp"), (8001, "tcp")]),
        ([{"port": 53, "protocol": "UDP"}], [(53, "udp")], [(53, "tcp")]),
        ([{"protocol": "SCTP"}], [(1, "sctp"), (2, "sctp")], [(1, "tcp")]),
        ([{"protocol": "TCP"}, {"port": 53, "protocol": "UDP"}], [(1, "tcp"), (53, "udp")], [(1, "udp")]),
        ([{"port": 80, "endPort": 90}], [(80, "tcp"), (90, "tcp")], [(79, "tcp"), (91, "tcp"), (85, "udp")]),
        ([{"port": 80, "endPort": 80}], [(80, "tcp")], [(81, "tcp")]),
        ([{"port": "http"}], [(8000, "tcp")], [(9000, "tcp"), (8000, "udp")]),
        ([{"port": "dns", "protocol": "UDP"}], [(53, "udp")], [(53, "tcp")]),
        ([{"port": "dns"}], [], [(53, "udp"), (53, "tcp")]),
        ([{"port": "other"}], [], [(8000, "tcp")]),
    ],
)
def test_ports(ports: list[Policy], opened: list[tuple[int, str]], closed: list[tuple[int, str]]) -> None:
    found = ingress({"ports": ports})
    assert all(admitted(found, *port) == EVERYONE for port in opened)
    assert not any(admitted(found, *port) for port in closed)


def test_for_egress_a_name_means_each_peers_own_port() -> None:
    everywhere: Policy = {"namespaceSelector": {}}
    found = egress({"to": [everywhere], "ports": [{"port": "http"}]})
    assert reached(found, 8000) == {LOAD.ip}
    assert reached(found, 9000) == {WEB.ip}
    assert reached(egress({"ports": [{"port": "http"}]}), 9000) == {WEB.ip}
    block = {"ipBlock": {"cidr": "10.244.1.0/24", "except": [f"{LOAD.ip}/32"]}}
    assert reached(egress({"to": [block], "ports": [{"port": "http"}]}), 8000) == set()


def test_rules_and_policies_are_united() -> None:
    first = policy({**ON_DB, "ingress": [{"from": [{"podSelector": {}}]}]}, name="a")
    second = policy(
        {**ON_DB, "ingress": [{"from": [{"ipBlock": {"cidr": f"{WORLD}/32"}}]}, {"ports": [{"port": 1}]}]}
    )
    found = rules([first, second, policy({"podSelector": {}}, name="deny")], PODS)
    assert admitted(found) == {WEB.ip, WORLD}
    assert admitted(found, 1) == EVERYONE
    assert not found.allow(LOAD.ip, WEB.ip)


def test_a_policy_holds_in_its_own_namespace() -> None:
    found = rules([policy({"podSelector": {}}, namespace="bench")], PODS)
    assert admitted(found) == EVERYONE
    assert not found.allow(DB.ip, LOAD.ip)


@pytest.mark.parametrize(
    ("spec", "in_", "out"),
    [
        ({"podSelector": {}}, True, False),
        ({}, True, False),
        ({"podSelector": {}, "egress": [{"ports": [{"port": 1}]}]}, True, True),
        ({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{"ports": [{"port": 1}]}]}, False, True),
        ({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{"ports": [{"port": 1}]}]}, True, False),
    ],
)
def test_policy_types(spec: Policy, *, in_: bool, out: bool) -> None:
    found = rules([policy(spec)], PODS)
    assert found.allow(WORLD, DB.ip) is not in_
    assert found.allow(DB.ip, WORLD) is not out


def test_both_ends_have_to_allow_a_connection() -> None:
    sends = policy({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"]}, name="sends")
    allows = policy({**ON_DB, "ingress": [{"from": [{"podSelector": {}}]}]}, name="allows")
    assert rules([allows], PODS).allow(WEB.ip, DB.ip)
    assert not rules([allows, sends], PODS).allow(WEB.ip, DB.ip)


def test_egress_to_the_node_is_to_the_api_server_and_dns() -> None:
    found = egress({"to": [{"ipBlock": {"cidr": f"{NODE}/32"}}], "ports": [{"port": 6443}]})
    assert found.allow(DB.ip, NODE, 6443)
    assert not found.allow(DB.ip, NODE, 53, "udp")
    assert ingress().allow(DB.ip, NODE, 6443)


def test_a_program_of_the_lab_can_be_meant_but_not_selected() -> None:
    dns = Pod("ops", {"k8s-app": "kube-dns"}, NODE, peer_only=True)
    peer = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    allows = policy({**ON_DB, "policyTypes": ["Egress"], "egress": [{"to": [peer]}]})
    denies = policy({"podSelector": {}, "policyTypes": ["Egress"]}, namespace="ops")
    found = rules([allows, denies], [*PODS, dns])
    assert found.allow(DB.ip, NODE, 53, "udp")
    assert found.allow(NODE, NODE, 6443)


def test_pods_of_an_unknown_namespace_are_no_peers() -> None:
    stranger = pod(9, "new", app="x")
    peer = {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}}
    found = rules([policy({**ON_DB, "ingress": [{"from": [peer]}]})], [*PODS, stranger])
    assert not found.allow(stranger.ip, DB.ip)


def test_an_address_that_two_pods_have_for_a_moment_is_isolated_once() -> None:
    found = rules([policy({**ON_DB})], [*PODS, pod(2, "bench")])
    assert admitted(found) == set()
    assert found.text.count(f"{DB.ip} : jump ingress-shop-1") == 1


def test_the_same_text_whatever_the_order() -> None:
    policies = [
        read(policy({"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {}}]}]}, name=name))
        for name in ("a", "b")
    ]
    backwards = dict(reversed(list(NAMESPACES.items())))
    assert ruleset(policies, PODS, NAMESPACES) == ruleset(policies[::-1], PODS[::-1], backwards)


def test_the_whole_text() -> None:
    peers = [{"podSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]
    spec = {**ON_DB, "ingress": [{"from": peers, "ports": [{"port": "http"}, {"port": 1, "endPort": 5}]}]}
    assert (
        rules([policy(spec)], PODS).text
        == """\
add table ip labkit-policy
delete table ip labkit-policy
table ip labkit-policy {
  chain self-10.244.1.2 {
    ip saddr { 10.244.1.2 } accept
  }
  chain ingress-shop-1 {
    ip saddr { 10.244.1.2, 10.244.1.3 } tcp dport 8000 return
    ip saddr { 10.244.1.2, 10.244.1.3 } tcp dport 1-5 return
    ip saddr 10.0.0.0/8 ip saddr != { 10.1.0.0/16 } tcp dport 8000 return
    ip saddr 10.0.0.0/8 ip saddr != { 10.1.0.0/16 } tcp dport 1-5 return
    counter drop
  }
  chain forward {
    type filter hook forward priority filter + 1; policy accept;
    ct state established,related accept
    ip daddr vmap { 10.244.1.2 : jump self-10.244.1.2 }
    ip daddr vmap { 10.244.1.2 : jump ingress-shop-1 }
  }
  chain input {
    type filter hook input priority filter + 1; policy accept;
    ct state established,related accept
  }
}
"""
    )
