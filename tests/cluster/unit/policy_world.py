"""A small world for NetworkPolicies: pods, and what the rules for nftables do to a packet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network
from typing import Any

from localcluster.node.policy.compile import ruleset
from localcluster.node.policy.pods import NamedPort, Pod
from localcluster.node.policy.reading import read

NODE = "10.244.0.1"
WORLD = "203.0.113.9"
Policy = dict[str, Any]

NAMESPACES: Mapping[str, Mapping[str, str]] = {
    name: {"kubernetes.io/metadata.name": name, **labels}
    for name, labels in (("shop", {"team": "a"}), ("bench", {"team": "b"}), ("ops", {}))
}


def pod(ip: int, namespace: str, *, ports: tuple[NamedPort, ...] = (), **labels: str) -> Pod:
    return Pod(namespace, labels, f"10.244.1.{ip}", ports)


def policy(spec: Policy, *, name: str = "p", namespace: str = "shop") -> Policy:
    return {"metadata": {"namespace": namespace, "name": name, "uid": f"{namespace}-{name}"}, "spec": spec}


def rules(policies: Iterable[Policy], pods: Iterable[Pod]) -> Rules:
    return Rules(ruleset([read(p) for p in policies], pods, NAMESPACES))


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection; one to the node itself passes `input`."""

    source: str
    destination: str
    port: int = 8000
    protocol: str = "tcp"

    @property
    def hook(self) -> str:
        return "input" if self.destination == NODE else "forward"


class Rules:
    """Walks the chains as the kernel does; a rule of an unknown shape is an error."""

    def __init__(self, text: str) -> None:
        table = re.fullmatch(
            r"add table ip labkit-policy\ndelete table ip labkit-policy\ntable ip labkit-policy \{\n(.*)\}\n",
            text,
            re.DOTALL,
        )
        assert table, text
        self.text = text
        self.chains = {
            name: [line.strip() for line in body.splitlines()]
            for name, body in re.findall(r"  chain (\S+) \{\n(.*?)\n  \}\n", table[1], re.DOTALL)
        }

    def allow(self, source: str, destination: str, port: int = 8000, protocol: str = "tcp") -> bool:
        packet = Packet(source, destination, port, protocol)
        kind, *lines = self.chains[packet.hook]
        assert kind == f"type filter hook {packet.hook} priority filter + 1; policy accept;"
        assert lines.pop(0) == "ct state established,related accept"
        return self._walk(lines, packet) != "drop"

    def _walk(self, lines: Iterable[str], packet: Packet) -> str:
        for line in lines:
            verdict = self._rule(line, packet)
            if verdict.startswith("jump "):
                verdict = self._walk(self.chains[verdict.removeprefix("jump ")], packet)
                verdict = "" if verdict == "return" else verdict
            if verdict:
                return verdict
        return ""

    def _rule(self, line: str, packet: Packet) -> str:
        """The verdict of a rule, or nothing if the packet does not match."""
        address = {"saddr": packet.source, "daddr": packet.destination}
        while line not in {"return", "accept", "counter drop"}:
            if found := re.fullmatch(r"ip (saddr|daddr) vmap \{ (.*) \}", line):
                jumps = dict(pair.split(" : ") for pair in found[2].split(", "))
                return jumps.get(address[found[1]], "")
            if found := re.match(r"ip (saddr|daddr) (!= )?(?:\{ ([^}]+) \}|(\S+)) ", line):
                inside = _in(address[found[1]], (found[3] or found[4]).split(", "))
                holds = inside is not bool(found[2])
            elif found := re.match(r"(tcp|udp|sctp) dport (\d+)(?:-(\d+))? ", line):
                first, last = int(found[2]), int(found[3] or found[2])
                holds = packet.protocol == found[1] and first <= packet.port <= last
            else:
                found = re.match(r"meta l4proto (tcp|udp|sctp) ", line)
                assert found, line
                holds = packet.protocol == found[1]
            if not holds:
                return ""
            line = line[found.end() :]
        return line.removeprefix("counter ")


def _in(ip: str, blocks: Iterable[str]) -> bool:
    return any(IPv4Address(ip) in ip_network(block) for block in blocks)
