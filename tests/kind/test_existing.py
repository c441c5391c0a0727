"""What `existing` needs of real kubelets: a forward to one pod, and Prometheus behind the API server."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import pytest

from labkit.errors import Unreachable
from labkit.kube import Kube
from labkit.metrics.client import Metrics
from labkit.providers import in_cluster
from labkit.providers.forward import Forwards
from labkit.providers.kind.provider import Kind


@pytest.fixture
def monitoring(cluster: Kind) -> Kube:
    return Kube(cluster.kubeconfig(), namespace="monitoring")


def test_a_pod_is_reached_by_one_forward(cluster: Kind, monitoring: Kube) -> None:
    pod = next(p for p in monitoring.objects("pods") if p.name.startswith("prometheus"))
    forwards = Forwards(monitoring)
    address = forwards.address(pod)
    assert forwards.address(pod) == address
    assert urlsplit(f"//{address}").hostname == "127.0.0.1"
    with pytest.raises(httpx.HTTPError):  # it is there, and talks TLS with a certificate only
        httpx.get(f"https://{address}/-/ready", trust_env=False, timeout=10)


def test_a_prometheus_that_wants_a_certificate_is_told_so_through_the_api_server(monitoring: Kube) -> None:
    at = in_cluster.prometheus(monitoring)
    with pytest.raises(Unreachable, match="does not reach Prometheus") as error:
        Metrics(at.url, ca=at.ca, cert=at.cert, key=at.key).authorize(at.authorization).query("up")
    assert "wants a certificate" in error.value.cause
