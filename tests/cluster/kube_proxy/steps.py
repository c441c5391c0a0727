"""Services and endpoints, and how they change: each step makes kube-proxy say something that it had not said.

There are no controllers, so the EndpointSlices are written here as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NODE = "node-1"
"""The node that kube-proxy believes to run on."""

NODE_IP = "10.244.0.11"
NAMESPACE = "default"
Object = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """Objects to apply or delete, and words that a transaction has when kube-proxy knows of them."""

    name: str
    apply: Sequence[Object] = ()
    delete: Sequence[str] = ()
    said: str = ""


def service(name: str, ip: str, *ports: tuple[str, int], **spec: Any) -> Object:
    """A Service whose ports lead to port 8000 of its pods."""
    listed = [{"name": p.lower(), "protocol": p, "port": n, "targetPort": 8000} for p, n in ports]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"clusterIP": ip, "ports": listed, **spec},
    }


def endpoints(name: str, *ips: str, protocol: str = "TCP") -> Object:
    """The pods of a Service; those of 10.244.1.0/24 are on kube-proxy's own node."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-{protocol.lower()}",
            "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": protocol.lower(), "protocol": protocol, "port": 8000}],
        "endpoints": [
            {
                "addresses": [ip],
                "conditions": {"ready": True},
                "nodeName": NODE if ip.startswith("10.244.1.") else "node-2",
            }
            for ip in ips
        ],
    }


WEB = "10.96.1.1"
TWO = ("10.244.2.2", "10.244.3.2")
THREE = ("10.244.1.2", *TWO)
STICKY: Object = {"sessionAffinity": "ClientIP"}
BALANCER: Object = {"type": "LoadBalancer", "loadBalancerSourceRanges": ["192.168.0.0/16", "10.9.9.9/32"]}
INGRESS: Object = {"status": {"loadBalancer": {"ingress": [{"ip": "192.168.77.1"}]}}}

STEPS = (
    Step("start", said="add rule ip kube-proxy services"),
    Step(
        "two pods",
        apply=[service("web", WEB, ("TCP", 80)), endpoints("web", *TWO)],
        said="numgen random mod 2 map",
    ),
    Step(
        "udp and sctp",
        apply=[
            service("dns", "10.96.1.2", ("UDP", 53), ("SCTP", 7)),
            endpoints("dns", "10.244.2.3", protocol="UDP"),
            endpoints("dns", "10.244.2.3", protocol="SCTP"),
        ],
        said="meta l4proto sctp dnat to",
    ),
    Step("affinity", apply=[service("web", WEB, ("TCP", 80), **STICKY)], said="{ ip saddr }"),
    Step(
        "a pod of this node",
        apply=[endpoints("web", *THREE)],
        said="add element ip kube-proxy hairpin-connections",
    ),
    Step("no affinity", apply=[service("web", WEB, ("TCP", 80), sessionAffinity="None")], said="delete set"),
    Step(
        "node port",
        apply=[service("web", WEB, ("TCP", 80), type="NodePort")],
        said="add element ip kube-proxy service-nodeports",
    ),
    Step(
        "local endpoints",
        apply=[service("web", WEB, ("TCP", 80), type="NodePort", externalTrafficPolicy="Local")],
        said="fib saddr type local goto",
    ),
    Step(
        "load balancer",
        apply=[service("web", WEB, ("TCP", 80), **BALANCER), {**service("web", WEB), **INGRESS}],
        said="add element ip kube-proxy firewall-ips",
    ),
    Step(
        "external addresses",
        apply=[service("dns", "10.96.1.2", ("UDP", 53), ("SCTP", 7), externalIPs=["192.168.88.1"])],
        said="192.168.88.1",
    ),
    Step("no pods", apply=[endpoints("web")], said="add element ip kube-proxy no-endpoint-services"),
    Step(
        "pods again", apply=[endpoints("web", *TWO)], said="delete element ip kube-proxy no-endpoint-services"
    ),
    Step(
        "no load balancer",
        apply=[service("web", WEB, ("TCP", 80), type="ClusterIP")],
        said="delete element ip kube-proxy firewall-ips",
    ),
    Step(
        "no service",
        delete=["services/web", "endpointslices/web-tcp"],
        said="flush chain ip kube-proxy service-",
    ),
)

AGAIN: Sequence[tuple[Step, Object]] = (
    (Step("the same settings", said="add rule ip kube-proxy services"), {}),
    (
        Step("node ports on all addresses", said="fib daddr type local"),
        {
            "nodePortAddresses": [],
            "detectLocalMode": "InterfaceNamePrefix",
            "detectLocal": {"interfaceNamePrefix": "v"},
        },
    ),
)
"""kube-proxy once more, with other settings."""
