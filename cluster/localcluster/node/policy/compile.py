"""NetworkPolicies as one transaction for nftables: a pure function.

https://kubernetes.io/docs/concepts/services-networking/network-policies/
A connection between two pods passes `forward`: first the sender's egress, then the receiver's ingress. One to
the node itself, where the API server and DNS listen, passes `input`: the sender's egress. What the node sends
passes neither, so the kubelet's probes always get in. What Kubernetes leaves to the network plugin:

    ipBlock              matches pods with such an address too, and never the address of a Service
    open connections     stay open when a policy comes
    other protocols      such as ping are denied too; a rule without ports allows them
    hostNetwork pods     are neither selected nor matched as peers (`pods.read` leaves them out)

Refuses to know IPv6: the table is for IPv4, and a block of IPv6 addresses matches nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from localcluster.api.selectors import matches
from localcluster.node.policy.pods import NamedPort, Pod
from localcluster.node.policy.reading import EGRESS, INGRESS, Block, Policy, Ports, Rule, Selected

TABLE = "labkit-policy"
_OWN = {EGRESS: "saddr", INGRESS: "daddr"}  # where a packet has the address of the pod with the policy
_OTHER = {EGRESS: "daddr", INGRESS: "saddr"}
_HOOKS = {"forward": (EGRESS, INGRESS), "input": (EGRESS,)}

Labels = Mapping[str, str]
_Isolated = Mapping[str, tuple[str, tuple[str, ...]]]  # by address: the namespace, and what is let through
_Chains = dict[str, tuple[str, ...]]  # by name: its rules


@dataclass(frozen=True)
class _Side:
    """A peer: what matches its packets, and the pods that it means."""

    match: str
    pods: tuple[Pod, ...]


def ruleset(policies: Iterable[Policy], pods: Iterable[Pod], namespaces: Mapping[str, Labels]) -> str:
    """The text for `nft -f -` that replaces the whole table at once; the order of what goes in is no matter.

    `namespaces` has the labels of each by name.
    """
    ordered = tuple(sorted(pods, key=_order))
    compiler = _Compiler(sorted(policies, key=lambda p: (p.namespace, p.name)), ordered, namespaces)
    return "\n".join(_table({way: compiler.isolated(way) for way in (EGRESS, INGRESS)})) + "\n"


def _order(pod: Pod) -> tuple[object, ...]:
    return IPv4Address(pod.ip), pod.namespace, sorted(pod.labels.items()), pod.ports


class _Compiler:
    def __init__(
        self, policies: Sequence[Policy], pods: tuple[Pod, ...], namespaces: Mapping[str, Labels]
    ) -> None:
        self._policies = policies
        self._pods = pods
        self._namespaces = namespaces

    def isolated(self, way: str) -> _Isolated:
        """The pods that some policy isolates in a direction."""
        rules: defaultdict[str, dict[str, None]] = defaultdict(dict)
        owner: dict[str, str] = {}
        for policy in self._policies:
            if way not in policy.rules:
                continue
            sides = [(rule, tuple(self._sides(rule, policy, way))) for rule in policy.rules[way]]
            known: dict[tuple[NamedPort, ...], dict[str, None]] = {}
            for pod in self._selected(policy):
                if pod.ports not in known:
                    lines = (line for rule, at in sides for line in _lines(rule, at, way, pod))
                    known[pod.ports] = dict.fromkeys(lines)
                rules[pod.ip] |= known[pod.ports]
                owner.setdefault(pod.ip, pod.namespace)
        return {ip: (owner[ip], tuple(rules[ip])) for ip in sorted(rules, key=IPv4Address)}

    def _selected(self, policy: Policy) -> Iterator[Pod]:
        for pod in self._pods:
            if policy.selects_pod(pod.namespace, pod.labels) and not pod.peer_only:
                yield pod

    def _sides(self, rule: Rule, policy: Policy, way: str) -> Iterator[_Side]:
        if rule.peers is None:
            yield _Side("", self._pods)
            return
        for peer in rule.peers:
            if isinstance(peer, Block):
                yield _Side(_block(peer, _OTHER[way]), tuple(p for p in self._pods if _within(p, peer)))
            elif meant := tuple(self._meant(peer, policy)):
                yield _Side(_addresses(_OTHER[way], meant), meant)

    def _meant(self, peer: Selected, policy: Policy) -> Iterator[Pod]:
        if peer.namespaces is None:
            inside = {policy.namespace}
        else:
            inside = {n for n, has in self._namespaces.items() if matches(peer.namespaces, has)}
        return (pod for pod in self._pods if pod.namespace in inside and matches(peer.pods, pod.labels))


def _lines(rule: Rule, sides: Iterable[_Side], way: str, pod: Pod) -> Iterator[str]:
    """What one rule lets through, for one of the pods that its policy selects."""
    for side in sides:
        if not rule.ports:
            yield _join(side.match, "return")
        for ports in rule.ports:
            if not isinstance(ports.first, str):
                yield _join(side.match, _numbers(ports), "return")
            elif way == INGRESS:
                for number in _named(ports, pod):
                    yield _join(side.match, f"{ports.protocol} dport {number}", "return")
            else:
                yield from _named_by_peers(ports, side)


def _named_by_peers(ports: Ports, side: _Side) -> Iterator[str]:
    """A name means the receiver's port: another number for each peer, maybe."""
    having: defaultdict[int, list[Pod]] = defaultdict(list)
    for peer in side.pods:
        for number in _named(ports, peer):
            having[number].append(peer)
    for number in sorted(having):
        yield _join(_addresses("daddr", having[number]), f"{ports.protocol} dport {number}", "return")


def _named(ports: Ports, pod: Pod) -> Iterator[int]:
    return (port.number for port in pod.ports if port[:2] == (ports.first, ports.protocol))


def _numbers(ports: Ports) -> str:
    if ports.first is None:
        return f"meta l4proto {ports.protocol}"
    return f"{ports.protocol} dport {ports.first}{f'-{ports.last}' if ports.last else ''}"


def _addresses(word: str, pods: Iterable[Pod]) -> str:
    return f"ip {word} {{ {', '.join(dict.fromkeys(pod.ip for pod in pods))} }}"


def _block(block: Block, word: str) -> str:
    network = f"ip {word} {block.network}" if block.network.prefixlen else ""
    if not block.excepted:
        return network
    return _join(network, f"ip {word} != {{ {', '.join(map(str, block.excepted))} }}")


def _within(pod: Pod, block: Block) -> bool:
    ip = IPv4Address(pod.ip)
    return ip in block.network and not any(ip in other for other in block.excepted)


def _join(*words: str) -> str:
    return " ".join(filter(None, words))


def _table(isolated: Mapping[str, _Isolated]) -> Iterator[str]:
    """The transaction; pods that are let through the same share a chain."""
    ips = sorted(set().union(*isolated.values()), key=IPv4Address)
    chains: _Chains = {f"self-{ip}": (f"ip saddr {{ {ip} }} accept",) for ip in ips}
    jumps = {way: _named_chains(way, isolated[way], chains) for way in isolated}
    yield f"add table ip {TABLE}"
    yield f"delete table ip {TABLE}"
    yield f"table ip {TABLE} {{"
    for name, rules in chains.items():
        yield from _chain(name, rules)
    for hook, ways in _HOOKS.items():
        lines = [f"type filter hook {hook} priority filter + 1; policy accept;"]
        lines.append("ct state established,related accept")
        if hook == "forward":  # by way of a Service; a pod can't block access to itself
            lines += _vmap("daddr", {ip: f"self-{ip}" for ip in ips})
        for way in ways:
            lines += _vmap(_OWN[way], jumps[way])
        yield from _chain(hook, lines)
    yield "}"


def _named_chains(way: str, isolated: _Isolated, chains: _Chains) -> dict[str, str]:
    """Add the chains of one direction; returns the chain of each address."""
    names: dict[tuple[str, tuple[str, ...]], str] = {}
    count: defaultdict[str, int] = defaultdict(int)
    jumps = {}
    for ip, whole in isolated.items():
        if whole not in names:
            namespace, rules = whole
            count[namespace] += 1
            names[whole] = f"{way}-{namespace}-{count[namespace]}"
            chains[names[whole]] = (*rules, "counter drop")
        jumps[ip] = names[whole]
    return jumps


def _vmap(word: str, jumps: Mapping[str, str]) -> list[str]:
    pairs = ", ".join(f"{ip} : jump {chain}" for ip, chain in jumps.items())
    return [f"ip {word} vmap {{ {pairs} }}"] if jumps else []


def _chain(name: str, rules: Iterable[str]) -> Iterator[str]:
    yield f"  chain {name} {{"
    yield from (f"    {rule}" for rule in rules)
    yield "  }"
