"""Random policies: the rules say what the policies say, and one more policy only ever allows more.

The seeds are fixed: a failure comes again.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, ip_network
from itertools import product
from typing import Any

import pytest

from localcluster.node.policy.pods import NamedPort, Pod
from tests.cluster.unit.policy_world import NAMESPACES, WORLD, Policy, pod, policy, rules

PORTS = ((8000, "tcp"), (9000, "tcp"), (53, "udp"))
PODS = tuple(
    pod(n, namespace, ports=(NamedPort("http", "tcp", 8000 if n % 2 else 9000),), app=app)
    for n, (namespace, app) in enumerate(product(NAMESPACES, ("web", "db")), start=2)
)
ADDRESSES = [*(pod.ip for pod in PODS), WORLD]
AT = {pod.ip: pod for pod in PODS}
SEEDS = range(60)


def selector(chance: random.Random, key: str, values: list[str]) -> Policy:
    """A label selector of any kind, an empty one too."""
    operator = chance.choice(["In", "NotIn", "Exists", "DoesNotExist", "matchLabels", ""])
    if operator == "matchLabels":
        return {"matchLabels": {key: chance.choice(values)}}
    if not operator:
        return {}
    some = {"values": chance.sample(values, 1)} if operator in {"In", "NotIn"} else {}
    return {"matchExpressions": [{"key": key, "operator": operator, **some}]}


def peer(chance: random.Random) -> Policy:
    if chance.random() < 0.3:
        cidr, *some = chance.choice([("0.0.0.0/0", "10.244.1.4/30"), ("10.244.1.0/29", "10.244.1.2/31")])
        return {"ipBlock": {"cidr": cidr, "except": some[: chance.randint(0, 1)]}}
    kinds = chance.choice([("pod",), ("namespace",), ("pod", "namespace")])
    found = {}
    if "pod" in kinds:
        found["podSelector"] = selector(chance, "app", ["web", "db"])
    if "namespace" in kinds:
        found["namespaceSelector"] = selector(chance, "team", ["a", "b"])
    return found


def rule(chance: random.Random, key: str) -> Policy:
    ports = [
        {},
        {"port": 8000},
        {"port": "http"},
        {"port": 8000, "endPort": 9500},
        {"port": 53, "protocol": "UDP"},
    ]
    found: Policy = {}
    if chance.random() < 0.8:
        found[key] = [peer(chance) for _ in range(chance.randint(0, 2))]
    if chance.random() < 0.6:
        found["ports"] = chance.sample(ports, chance.randint(0, 2))
    return found


def any_policy(chance: random.Random, name: str) -> Policy:
    types = chance.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
    spec: Policy = {"podSelector": selector(chance, "app", ["web", "db"]), "policyTypes": types}
    for way, key in (("ingress", "from"), ("egress", "to")):
        spec[way] = [rule(chance, key) for _ in range(chance.randint(0, 2))]
    return policy(spec, name=name, namespace=chance.choice(list(NAMESPACES)))


def chosen(selector: Policy, labels: Mapping[str, str]) -> bool:
    """A label selector, straight from its documentation."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for e in selector.get("matchExpressions", ()):
        has, among = e["key"] in labels, labels.get(e["key"]) in e.get("values", ())
        if not {"In": among, "NotIn": not among, "Exists": has, "DoesNotExist": not has}[e["operator"]]:
            return False
    return True


def is_peer(peer: Policy, ip: str, namespace: str) -> bool:
    if block := peer.get("ipBlock"):
        at = IPv4Address(ip)
        return at in ip_network(block["cidr"]) and not any(at in ip_network(e) for e in block["except"])
    other = AT.get(ip)
    if other is None:
        return False
    if "namespaceSelector" not in peer:
        return other.namespace == namespace and chosen(peer["podSelector"], other.labels)
    inside = chosen(peer["namespaceSelector"], NAMESPACES[other.namespace])
    return inside and chosen(peer.get("podSelector", {}), other.labels)


def is_port(wanted: Policy, port: tuple[int, str], receiver: Pod | None) -> bool:
    first: Any = wanted.get("port")
    if isinstance(first, str):
        return receiver is not None and (first, port[1], port[0]) in receiver.ports
    protocol: str = wanted.get("protocol", "TCP")
    in_range: bool = first is None or first <= port[0] <= wanted.get("endPort", first)
    return in_range and port[1] == protocol.lower()


def side_allows(policies: Iterable[Policy], way: str, ends: tuple[str, str], port: tuple[int, str]) -> bool:
    """Whether one end of a connection lets it through, straight from the API's documentation."""
    own, other = ends if way == "Egress" else ends[::-1]
    mine = AT.get(own)
    isolating = [
        p
        for p in policies
        if mine is not None
        and p["metadata"]["namespace"] == mine.namespace
        and way in p["spec"]["policyTypes"]
        and chosen(p["spec"]["podSelector"], mine.labels)
    ]
    key = "to" if way == "Egress" else "from"
    return not isolating or any(
        (not r.get(key) or any(is_peer(one, other, p["metadata"]["namespace"]) for one in r[key]))
        and (not r.get("ports") or any(is_port(w, port, AT.get(ends[1])) for w in r["ports"]))
        for p in isolating
        for r in p["spec"][way.lower()]
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_rules_say_what_the_policies_say(seed: int) -> None:
    chance = random.Random(seed)
    policies = [any_policy(chance, f"p{n}") for n in range(chance.randint(1, 4))]
    found = rules(policies, PODS)
    for source, destination, port in product(ADDRESSES, ADDRESSES, PORTS):
        ends = (source, destination)
        expected = source == destination or (
            side_allows(policies, "Egress", ends, port) and side_allows(policies, "Ingress", ends, port)
        )
        assert found.allow(*ends, *port) is expected, (policies, ends, port, found.text)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_more_policy_takes_nothing_from_pods_that_are_isolated(seed: int) -> None:
    chance = random.Random(seed)
    isolating = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    policies = [policy(isolating, name="deny", namespace=namespace) for namespace in NAMESPACES]
    connections = list(product(ADDRESSES, ADDRESSES, PORTS))
    before: set[tuple[str, str, tuple[int, str]]] = set()
    for n in range(5):
        policies.append(any_policy(chance, f"p{n}"))
        found = rules(policies, PODS)
        now = {c for c in connections if found.allow(c[0], c[1], *c[2])}
        assert before <= now, policies[-1]
        before = now
