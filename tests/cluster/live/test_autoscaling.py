"""The HorizontalPodAutoscaler by the words of Kubernetes' own suite, in lab seconds.

All scenarios run side by side, each in a namespace of its own: they wait more than they work.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from localcluster.embedded import pki
from localcluster.embedded.provider import Embedded
from localcluster.provider import Spec
from tests.cluster.live.autoscaling.scenarios import SCENARIOS, Scenario
from tests.cluster.live.autoscaling.world import PATIENCE, Consumer
from tests.cluster.live.test_network import apply, pod, service
from tests.clusters import push, running

pytestmark = pytest.mark.embedded

METRICS_API = "external.metrics.k8s.io"
METRICS = "queue_messages_ready"


@pytest.fixture(scope="module")
def lab(own_home: Path) -> Iterator[Embedded]:
    """A lab of its own: one of the tests brings an API of its own along."""
    with running(Spec(name="autoscaling", gpu_nodes=0, cpu_nodes=2)) as made:
        for image in ("queue_server", "external_metrics"):
            push(made, image)
        yield made


@pytest.fixture(scope="module")
def outcomes(lab: Embedded, request: pytest.FixtureRequest) -> Iterator[dict[Scenario, Future[None]]]:
    """What became of each scenario that a test asks for."""
    specs = [item.callspec for item in request.session.items if hasattr(item, "callspec")]
    asked = {spec.params.get("scenario") for spec in specs}

    def play(number: int, scenario: Scenario) -> None:
        consumer = Consumer.new(lab, f"behavior-{number}")
        scenario(consumer)
        consumer.kube.kubectl("delete", "hpa,deployment", "--all", "--wait=false")

    with ThreadPoolExecutor(len(SCENARIOS)) as pool:
        yield {
            each: pool.submit(play, number, each) for number, each in enumerate(SCENARIOS) if each in asked
        }


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_behavior(outcomes: dict[Scenario, Future[None]], scenario: Scenario) -> None:
    outcomes[scenario].result()


@pytest.fixture
def external(lab: Embedded, tmp_path: Path) -> Iterator[Consumer]:
    """A Deployment of one pod, and a server of the external metrics API."""
    consumer = Consumer.new(lab, "external")
    names = ("metrics.external.svc", "metrics.external")
    pki.ensure(tmp_path, [pki.Identity("server", "external-metrics", hosts=names)])
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls"}, "type": "kubernetes.io/tls"}
    files = {f"tls.{end}": _encoded(tmp_path / f"server.{end}") for end in ("crt", "key")}
    server = pod(
        "metrics",
        {
            "image": "registry.lab:5000/external-metrics:1.0",
            "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
            "ports": [{"containerPort": 8000}],
            "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
        },
        volumes=[{"name": "tls", "secret": {"secretName": "tls"}}],
    )
    reference = {"name": "metrics", "namespace": "external", "port": 443}
    offer = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"v1beta1.{METRICS_API}"},
        "spec": {
            "group": METRICS_API,
            "version": "v1beta1",
            "service": reference,
            "caBundle": _encoded(tmp_path / "ca.crt"),
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
    front = service("metrics", ports=[{"port": 443, "targetPort": 8443}])
    apply(consumer.kube, secret | {"data": files}, server, front, offer)
    consumer.kube.until("pod/metrics ready", seconds=PATIENCE)
    consumer.start(1)
    consumer.kube.until(f"apiservice/v1beta1.{METRICS_API} available", seconds=PATIENCE)
    yield consumer
    consumer.kube.kubectl("delete", "apiservice", f"v1beta1.{METRICS_API}")
    consumer.kube.kubectl("delete", "hpa,deployment,pod", "--all", "--wait=false")


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _say(consumer: Consumer, value: int) -> None:
    address = consumer.cluster.pod_address(consumer.kube.object("pod/metrics"))
    httpx.put(f"http://{address}/to/{value}", trust_env=False).raise_for_status()


@pytest.mark.parametrize("least", [1, 0], ids=["up and down", "down to zero and back up"])
def test_an_external_metric_scales(external: Consumer, least: int) -> None:
    target = {"type": "Value", "value": 50}
    metric = {"type": "External", "external": {"metric": {"name": METRICS}, "target": target}}
    external.autoscale(least, 3, {"scaleDown": {"stabilizationWindowSeconds": 0}}, **metric)
    external.reaches(3)
    _say(external, 0)
    external.reaches(least)
    if least == 0:
        external.kube.until("hpa/consumer scaledtozero", seconds=PATIENCE)
    _say(external, 200)
    external.reaches(3)
