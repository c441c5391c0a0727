"""The addresses of a lab. They exist in its namespace only, so they collide with nothing on the machine."""

from __future__ import annotations

GATEWAY = "10.244.0.1"
"""The lab itself, as its pods see it: the API server and DNS listen here."""

PODS = "10.244.0.0/16"
SERVICES = "10.96.0.0/16"
API_SERVER = "10.96.0.1"
"""ClusterIP of `kubernetes.default`."""

DNS = "10.96.0.10"
"""ClusterIP of `kube-dns.kube-system`, as kubeadm chooses it."""

COREDNS = "10.244.0.10"
"""Where CoreDNS itself listens, as if it were a pod: policies can mean it apart from the API server."""

PROMETHEUS = "10.244.0.20"
"""Address of Prometheus, which has a network like a pod's: policies of others let it in, or not."""

KUBELET_PORT = 10250


def node_ip(index: int) -> str:
    """InternalIP of a node.

    >>> node_ip(1)
    '172.18.0.2'
    """
    return f"172.18.0.{index + 1}"
