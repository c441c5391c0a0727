"""What `existing` needs of real kubelets: a forward to a pod, Prometheus by the API server, and a way in."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import pytest

from course.existing import in_cluster
from course.existing.forward import Forwards
from labkit import pull_secret, reset
from labkit.errors import Unreachable
from labkit.kube import Kube
from labkit.lab import connect
from labkit.load import Closed
from labkit.metrics.client import Metrics
from localcluster.kind.provider import Kind


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


@pytest.mark.long
def test_a_load_reaches_the_courses_server_through_its_service(
    cluster: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner has pushed the image, and left a login to it; labkit knows nothing but a kubeconfig."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig()))
    monkeypatch.delenv("LABKIT_CONTEXT", raising=False)
    lab = connect(provider="existing", clock=1, seed=0)
    reset.model_image(cluster.registry(), print)
    lab.kube.ensure_namespace()
    pull_secret.make(lab.kube, cluster.registry(), name=reset.PULL_SECRET)
    lab.reset()
    try:
        lab.apply("manifests/overlays/existing/server")
        lab.until("deployment/llm-inference-service available", "pods app=llm-model ready=2", seconds=240)
        done = lab.load(Closed(users=8, seconds=20)).wait()
        assert done.rows
        assert not done.failures()
    finally:
        reset.clear(lab.kube, print)
