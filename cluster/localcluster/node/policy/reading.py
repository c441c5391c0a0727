"""A NetworkPolicy as the API writes it, read into typed rules.

https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
A policy that has something unknown in it, such as a field of a later API, is never half enforced: it denies
everything to the pods that it selects, and `Policy.fault` says why. Blocks of IPv6 addresses match nothing:
pods have IPv4 addresses only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from localcluster.api import Json, JsonLike, selectors
from localcluster.api.selectors import Term
from localcluster.errors import BadInput

INGRESS, EGRESS = "ingress", "egress"
_PEERS = {INGRESS: "from", EGRESS: "to"}
_TYPES = {"Ingress": INGRESS, "Egress": EGRESS}
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_WITH_VALUES, _WITHOUT = ("In", "NotIn"), ("Exists", "DoesNotExist")

Terms = tuple[Term, ...]


@dataclass(frozen=True)
class Selected:
    """A peer: pods with these labels in namespaces with those; None is the policy's own namespace."""

    namespaces: Terms | None
    pods: Terms


@dataclass(frozen=True)
class Block:
    """A peer: addresses, and those among them that are not meant."""

    network: IPv4Network
    excepted: tuple[IPv4Network, ...] = ()


@dataclass(frozen=True)
class Ports:
    """Ports of one protocol: all of them, one by number or by name, or a range."""

    protocol: str  # tcp, udp or sctp, as nft writes it
    first: int | str | None = None
    last: int | None = None


@dataclass(frozen=True)
class Rule:
    """What one rule allows; no peers (None) is anywhere, no ports is every port of every protocol."""

    peers: tuple[Selected | Block, ...] | None = None
    ports: tuple[Ports, ...] = ()


@dataclass(frozen=True)
class Policy:
    """A NetworkPolicy; `rules` has the directions in which it isolates the pods that it selects."""

    namespace: str
    name: str
    selects: Terms
    rules: Mapping[str, tuple[Rule, ...]]
    fault: str = ""
    """Why it could not be read, and so denies everything; empty for a policy that was read."""

    def selects_pod(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether it isolates a pod with these labels."""
        return namespace == self.namespace and selectors.matches(self.selects, labels)


def read(policy: JsonLike) -> Policy:
    """Read one policy; never raises."""
    meta, spec = policy["metadata"], policy.get("spec") or {}
    namespace, name = meta["namespace"], meta["name"]
    try:
        _only(spec, "spec", {"podSelector", "policyTypes", "ingress", "egress"})
        selects = _terms(spec, "spec", "podSelector")
        rules = {way: _rules(spec, way) for way in _directions(spec)}
    except BadInput as error:
        return Policy(namespace, name, *_denied(spec), fault=" ".join(str(error).split("\n")))
    return Policy(namespace, name, selects, rules)


def _denied(spec: JsonLike) -> tuple[Terms, dict[str, tuple[Rule, ...]]]:
    """What a policy in `spec` denies that could not be read: what is unclear too."""
    try:
        selects = _terms(spec, "spec", "podSelector")
    except BadInput:
        selects = ()
    try:
        return selects, dict.fromkeys(_directions(spec), ())
    except BadInput:
        return selects, dict.fromkeys(_TYPES.values(), ())


def _directions(spec: JsonLike) -> list[str]:
    """Without policyTypes: Ingress, and Egress if there is a rule for it, as the API server defaults it."""
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    for kind in types:
        if kind not in _TYPES:
            raise _unknown("spec.policyTypes", kind, _TYPES)
    return [_TYPES[kind] for kind in types]


def _rules(spec: JsonLike, way: str) -> tuple[Rule, ...]:
    return tuple(_rule(rule, f"spec.{way}[{n}]", way) for n, rule in enumerate(spec.get(way) or ()))


def _rule(rule: Json, where: str, way: str) -> Rule:
    key = _PEERS[way]
    _only(rule, where, {key, "ports"})
    peers = [_peer(peer, f"{where}.{key}[{n}]") for n, peer in enumerate(rule.get(key) or ())]
    ports = [_ports(port, f"{where}.ports[{n}]") for n, port in enumerate(rule.get("ports") or ())]
    known = tuple(peer for peer in peers if peer is not None)
    return Rule(known if peers else None, tuple(ports))


def _peer(peer: Json, where: str) -> Selected | Block | None:
    """One peer; None for a block that matches nothing: of IPv6 addresses, or with all excepted."""
    _only(peer, where, {"podSelector", "namespaceSelector", "ipBlock"})
    meant = sorted(key for key, value in peer.items() if value is not None)
    if not meant or ("ipBlock" in meant and len(meant) > 1):
        raise BadInput(
            f"{where} has {' and '.join(meant) or 'no selector'}.",
            fix="A peer is an ipBlock, or has a podSelector, a namespaceSelector, or both.",
        )
    if "ipBlock" in meant:
        return _block(peer["ipBlock"], f"{where}.ipBlock")
    namespaces = _terms(peer, where, "namespaceSelector") if "namespaceSelector" in meant else None
    return Selected(namespaces, _terms(peer, where, "podSelector"))


def _block(block: Json, where: str) -> Block | None:
    _only(block, where, {"cidr", "except"})
    network = _network(block.get("cidr"), f"{where}.cidr")
    excepted = [_network(cidr, f"{where}.except") for cidr in block.get("except") or ()]
    if isinstance(network, IPv6Network):
        return None
    inside = [other for other in excepted if isinstance(other, IPv4Network) and other.subnet_of(network)]
    if len(inside) < len(excepted):
        raise BadInput(f"{where}.except is not within {network}.", fix="Except a part of the block.")
    left_out = tuple(collapse_addresses(inside))
    return None if network in left_out else Block(network, left_out)


def _network(cidr: object, where: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(cidr), strict=False)
    except ValueError as error:
        raise BadInput(f"{where} is no block of addresses: {error}.", fix="Write 10.0.0.0/8.") from error


def _ports(port: Json, where: str) -> Ports:
    _only(port, where, {"protocol", "port", "endPort"})
    protocol = port.get("protocol") or "TCP"
    if protocol not in _PROTOCOLS:
        raise _unknown(f"{where}.protocol", protocol, _PROTOCOLS)
    first, last = port.get("port"), port.get("endPort")
    if last is not None and not (isinstance(first, int) and first <= last):
        raise BadInput(
            f"{where} has endPort {last} with port {first}.",
            fix="A range starts at a number that is not above.",
        )
    return Ports(protocol.lower(), first, last if last != first else None)


def _terms(owner: JsonLike, where: str, key: str) -> Terms:
    """A label selector; a missing one selects everything."""
    selector = owner.get(key) or {}
    where = f"{where}.{key}"
    _only(selector, where, {"matchLabels", "matchExpressions"})
    for n, expression in enumerate(selector.get("matchExpressions") or ()):
        at, operator = f"{where}.matchExpressions[{n}]", expression.get("operator")
        _only(expression, at, {"key", "operator", "values"})
        if operator not in (*_WITH_VALUES, *_WITHOUT):
            raise _unknown(f"{at}.operator", operator, (*_WITH_VALUES, *_WITHOUT))
        if bool(expression.get("values")) is not (operator in _WITH_VALUES):
            raise BadInput(
                f"{at} has a wrong number of values.", fix="In and NotIn have values, others none."
            )
    return selectors.of(selector)


def _only(item: JsonLike, where: str, known: Iterable[str]) -> None:
    for key in sorted(set(item) - set(known)):
        raise _unknown(where, key, known)


def _unknown(where: str, what: object, known: Iterable[str]) -> BadInput:
    return BadInput(
        f"{where} says {what!r}, which the lab's network does not know.",
        cause="It belongs to a later version of the API, or to another network plugin.",
        fix=f"Use one of {', '.join(sorted(known))}.",
    )
