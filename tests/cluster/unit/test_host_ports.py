"""Ports of nodes that lead to pods: the rules, as nftables and labkit's own nft take them."""

from __future__ import annotations

from typing import Any

from localcluster.node import unsupported
from localcluster.node.network.host_ports import forwards, ruleset

NODE, POD = "172.18.0.4", "10.244.1.2"


def spec(*ports: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"containers": [{"name": "main", "ports": [{"containerPort": 80, **p} for p in ports]}], **more}


def refused(pod: dict[str, Any], node: str = NODE) -> list[str]:
    return [each.message for each in unsupported.unsupported({"spec": pod}, node=node)]


def test_each_host_port_of_the_node_leads_to_its_pod() -> None:
    pod = spec({"hostPort": 8080}, {"hostPort": 53, "protocol": "UDP", "hostIP": NODE}, {})
    assert [(f.protocol, f.port, f.target) for f in forwards(pod, NODE, POD)] == [
        ("tcp", 8080, 80),
        ("udp", 53, 80),
    ]
    assert refused(pod) == []


def test_a_pod_on_its_nodes_network_has_its_ports_there_anyway() -> None:
    pod = spec({"hostPort": 80}, hostNetwork=True)
    assert forwards(pod, NODE, NODE) == ()
    assert refused(pod, node="") == []


def test_a_port_that_leads_nowhere_is_said() -> None:
    elsewhere = spec({"hostPort": 8080, "hostIP": "127.0.0.1"})
    assert forwards(elsewhere, NODE, POD) == ()
    assert "nothing leads from 127.0.0.1:8080 to the pod" in refused(elsewhere)[0]
    assert "nothing leads from the node:8080 to the pod" in refused(spec({"hostPort": 8080}), node="")[0]


def test_the_whole_table_is_replaced() -> None:
    text = ruleset({"a": forwards(spec({"hostPort": 8080}), NODE, POD)})
    assert (
        text
        == """add table ip labkit-host-ports
delete table ip labkit-host-ports
table ip labkit-host-ports {
  chain ports {
    ip daddr 172.18.0.4 tcp dport 8080 dnat to 10.244.1.2:80
  }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    jump ports
  }
  chain output {
    type nat hook output priority -100; policy accept;
    jump ports
  }
}
"""
    )
