"""NetworkPolicies hold: for pods, Services and Prometheus; the node's own traffic passes, as elsewhere."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from labkit.kube import Kube
from labkit.metrics.client import Metrics
from localcluster import polling
from localcluster.embedded.provider import Embedded
from tests.cluster.live.test_network import IDLE, SERVER, apply, get, kube, pod, service

pytestmark = pytest.mark.embedded

__all__ = ["kube"]

MONITORING = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
DNS = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}
REACH = """
import socket, sys
for target in sys.argv[1:]:
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
        print("open")
    except OSError as error:
        print(error)
"""


def policy(name: str, app: str | None, **rules: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": app}} if app else {}
    kinds = [kind.title() for kind in rules]
    spec = {
        "podSelector": selector,
        "policyTypes": kinds,
        **{k: v for k, v in rules.items() if v is not None},
    }
    meta = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}}
    return meta | {"spec": spec}


def reach(kube: Kube, client: str, *targets: str) -> list[str]:
    """`open`, or why a TCP connection from a pod was not made, for each `host:port`."""
    return kube.kubectl("exec", client, "--", "python3", "-c", REACH, *targets).splitlines()


def until(kube: Kube, client: str, wanted: list[str], *targets: str) -> None:
    """Wait until a pod's connections end so; rules follow a policy within a fraction of a second."""
    seen: list[str] = []

    def so() -> bool:
        seen[:] = reach(kube, client, *targets)
        return seen == wanted

    polling.until(so, f"{targets} to be {wanted}", seconds=30, last_seen=lambda: str(seen))


@pytest.fixture
def web(kube: Kube) -> tuple[str, str]:
    """A server and two clients; how the server is reached by pod IP and by ClusterIP."""
    annotated = pod("web", SERVER)
    annotated["metadata"]["annotations"] = {"prometheus.io/scrape": "true"}
    apply(kube, annotated, service("web"), pod("friend", IDLE), pod("stranger", IDLE))
    kube.until("pod/web ready", "pod/friend ready", "pod/stranger ready", seconds=60)
    ip, cluster_ip = (
        kube.object("pod/web").at("status.podIP"),
        kube.object("service/web").at("spec.clusterIP"),
    )
    until(kube, "friend", ["open"] * 2, f"{ip}:8000", f"{cluster_ip}:80")
    return f"{ip}:8000", f"{cluster_ip}:80"


def scraped(cluster: Embedded, kube: Kube) -> dict[str, float]:
    at = cluster.prometheus()
    assert at.ca
    assert at.cert
    assert at.key
    metrics = Metrics(at.url, ca=at.ca, cert=at.cert, key=at.key, clock=cluster.spec().clock)
    return metrics.query(f'up{{namespace="{kube.namespace}"}}', may_be_empty=True).by("pod")


def test_default_deny_lets_in_only_the_node(cluster: Embedded, kube: Kube, web: tuple[str, str]) -> None:
    polling.until(lambda: scraped(cluster, kube) == {"web": 1.0}, "the target to be up", seconds=30)
    apply(kube, policy("deny", None, ingress=[]))
    until(kube, "friend", ["timed out"] * 2, *web)
    polling.until(lambda: scraped(cluster, kube) == {"web": 0.0}, "the target to be down", seconds=30)
    assert kube.object("pod/web").is_true("Ready")  # the kubelet's probes come from the node
    url = cluster.address(kube.namespace, "web", 80)  # and so does what comes through a door
    assert httpx.get(url, trust_env=False).is_success
    kube.kubectl("delete", "networkpolicy", "deny")
    until(kube, "friend", ["open"] * 2, *web)


def test_what_a_policy_names_is_let_in_and_nobody_else(
    cluster: Embedded, kube: Kube, web: tuple[str, str]
) -> None:
    friends = {"podSelector": {"matchLabels": {"app": "friend"}}}
    apply(kube, policy("web", "web", ingress=[{"from": [friends]}]))
    until(kube, "stranger", ["timed out"] * 2, *web)
    assert reach(kube, "friend", *web) == ["open"] * 2
    polling.until(lambda: scraped(cluster, kube) == {"web": 0.0}, "the target to be down", seconds=30)
    apply(kube, policy("web", "web", ingress=[{"from": [friends, MONITORING]}]))
    polling.until(lambda: scraped(cluster, kube) == {"web": 1.0}, "the target to be up", seconds=30)
    assert reach(kube, "stranger", web[0]) == ["timed out"]


def test_a_pod_that_comes_later_is_isolated_from_its_first_moment(kube: Kube, web: tuple[str, str]) -> None:
    apply(kube, policy("late", "late", egress=[]))
    target = web[0].rpartition(":")
    script = f"import socket; socket.create_connection({(target[0], int(target[2]))!r}, timeout=3)"
    apply(kube, pod("late", {"command": ["python3", "-c", script]}, restartPolicy="Never"))
    polling.until(lambda: kube.object("pod/late").at("status.phase") == "Failed", "its end", seconds=60)
    assert "timed out" in kube.logs("late")


def test_denied_egress_takes_names_and_the_api_server_away(kube: Kube, web: tuple[str, str]) -> None:
    api = "kubernetes.default:443"
    assert reach(kube, "friend", api) == ["open"]
    apply(kube, policy("friend", "friend", egress=[]))
    until(kube, "friend", ["timed out"], web[0])
    assert "name resolution" in reach(kube, "friend", "web:80")[0]
    apply(
        kube, policy("friend", "friend", egress=[{"to": [DNS], "ports": [{"port": 53, "protocol": "UDP"}]}])
    )
    until(kube, "friend", ["timed out"], api)  # the name is known, the server is not reached
    assert reach(kube, "friend", "10.96.0.1:443", "web:80") == ["timed out"] * 2
    assert get(kube, "stranger", f"http://{web[0]}/") == ["0.0"]
