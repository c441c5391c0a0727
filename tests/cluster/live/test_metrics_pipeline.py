"""From a pod's /metrics to a decision of the HPA, through Prometheus and the adapter, with known numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from labkit import pull_secret, reset
from labkit.errors import BadInput, Refused, Unreachable
from labkit.kube import Kube
from labkit.metrics.client import Metrics, NoData
from localcluster import polling
from localcluster.embedded.provider import Embedded

pytestmark = pytest.mark.embedded

HERE = Path(__file__).parents[2] / "images" / "queue_server"
MANIFESTS = Path(__file__).parents[3] / "manifests"
WAITING = "vllm:num_requests_waiting"


@pytest.fixture
def metrics(cluster: Embedded) -> Metrics:
    at = cluster.prometheus()
    return Metrics(at.url, ca=at.ca, cert=at.cert, key=at.key, clock=cluster.spec().clock)


@pytest.fixture
def kube(cluster: Embedded, namespace: Kube, queue_image: None) -> Iterator[Kube]:
    del queue_image
    namespace.clock = cluster.spec().clock
    pull_secret.make(namespace, cluster.registry(), name=reset.PULL_SECRET)
    namespace.apply(HERE / "manifest.yaml")
    namespace.until("deployment/llm-inference-service available", seconds=30)
    yield namespace
    # Leftovers have no users; without this the namespace waits for the grace period of each pod.
    namespace.kubectl("delete", "hpa,deployment,pod", "--all", "--grace-period=1", "--wait=true")


SetQueue = Callable[[float], None]


@pytest.fixture
def set_queue(cluster: Embedded, kube: Kube) -> SetQueue:
    """Make the queue of every pod as long as this."""

    def put(waiting: float) -> None:
        for pod in kube.objects("pods"):
            url = f"http://{cluster.pod_address(pod)}/queue/{waiting}"
            httpx.put(url, trust_env=False).raise_for_status()

    return put


def queue(kube: Kube, metrics: Metrics) -> dict[str, float]:
    return metrics.query(f'{WAITING}{{namespace="{kube.namespace}"}}', may_be_empty=True).by("pod")


def served(kube: Kube, name: str = "vllm_request_queue_size") -> dict[str, float]:
    path = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{kube.namespace}/pods/*/{name}"
    try:
        items = kube.raw(path)["items"]
    except Refused:
        return {}
    return {i["describedObject"]["name"]: float(i["value"].removesuffix("m")) for i in items}


def test_one_number_through_every_hop(kube: Kube, metrics: Metrics, set_queue: SetQueue) -> None:
    set_queue(7)
    wanted = {p.name: 7.0 for p in kube.objects("pods")}
    assert len(wanted) == 2
    polling.until(lambda: queue(kube, metrics) == wanted, "Prometheus to hold both pods", seconds=20)
    polling.until(lambda: served(kube) == wanted, "the custom metrics API to serve them", seconds=20)
    with pytest.raises(Refused, match="could not find the metric"):
        kube.raw(f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{kube.namespace}/pods/*/{WAITING}")


def test_the_lessons_hpa_scales_out_and_in(kube: Kube, set_queue: SetQueue) -> None:
    kube.apply(MANIFESTS / "base" / "hpa.yaml")
    set_queue(8)  # 2 pods: ceil(16 / 5) = 4 wanted; the new ones have an empty queue
    kube.until("hpa/llm-hpa desired=4", "hpa/llm-hpa scalingactive", seconds=30)
    kube.until("pods app=llm-model ready=4", seconds=30)
    set_queue(0)
    kube.until("hpa/llm-hpa desired=2", seconds=60)  # after the stabilization window
    kube.until("deployment/llm-inference-service available", seconds=30)


def test_behavior_is_applied_in_lab_seconds(kube: Kube) -> None:
    applied = kube.apply(MANIFESTS / "05-hpa-queue" / "hpa-behavior.yaml")
    assert "scaleDown.stabilizationWindowSeconds: 300 s → 20 s" in repr(applied)
    behavior = kube.object("hpa/llm-hpa").at("spec.behavior")
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 20
    assert behavior["scaleUp"]["policies"][0]["periodSeconds"] == 1


def test_two_autoscalers_on_one_deployment_both_stop(kube: Kube) -> None:
    kube.apply(MANIFESTS / "base" / "hpa.yaml", MANIFESTS / "05-hpa-queue" / "faults" / "second-hpa.yaml")
    polling.until(
        lambda: (kube.object("hpa/llm-hpa").condition("ScalingActive") or {}).get("reason"),
        "the HPA to speak",
        seconds=20,
    )
    polling.until(
        lambda: kube.object("hpa/llm-hpa").condition("ScalingActive")["reason"] == "AmbiguousSelector",  # type: ignore[index]
        "AmbiguousSelector",
        seconds=20,
    )


def test_cpu_and_memory_are_served_too(kube: Kube) -> None:
    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{kube.namespace}/pods"
    found = polling.until(lambda: kube.raw(path)["items"], "kubectl top", seconds=30)
    usage = found[0]["containers"][0]["usage"]
    assert set(usage) == {"cpu", "memory"}
    assert len(kube.raw("/apis/metrics.k8s.io/v1beta1/nodes")["items"]) == 4


def test_a_range_comes_back_as_numbers(kube: Kube, metrics: Metrics, set_queue: SetQueue) -> None:
    set_queue(3)
    polling.until(
        lambda: sorted(queue(kube, metrics).values()) == [3.0, 3.0], "both queues to be 3", seconds=20
    )
    now = metrics.query(f'{WAITING}{{namespace="{kube.namespace}"}}')[0].at
    query = f'sum({WAITING}{{namespace="{kube.namespace}"}})'
    (series,) = metrics.query_range(query, start=now - 1, end=now, step="15s")
    at, value = series.points[-1]
    assert at == pytest.approx(metrics.clock)
    assert value == 6


def test_an_empty_answer_says_why(kube: Kube, metrics: Metrics) -> None:
    polling.until(lambda: queue(kube, metrics), "the first scrape", seconds=20)
    with pytest.raises(NoData, match=f"Did you mean {WAITING}"):
        metrics.query("vllm:num_request_waiting")
    with pytest.raises(NoData, match="not with the labels"):
        metrics.query(f'{WAITING}{{pod="nobody"}}')
    assert len(metrics.query("nothing_at_all", may_be_empty=True)) == 0


def test_a_query_with_a_typo_is_refused_with_prometheus_words(metrics: Metrics) -> None:
    with pytest.raises(BadInput, match="unclosed left parenthesis"):
        metrics.query("sum(up")
    with pytest.raises(BadInput, match="is a range"):
        metrics.query("up[5m]")
    with pytest.raises(BadInput, match="values, not one"):
        metrics.value("up")


def test_a_stranger_is_not_let_in(cluster: Embedded) -> None:
    at = cluster.prometheus()
    with pytest.raises(Unreachable):
        Metrics(at.url, ca=at.ca).query("up")


def test_a_proxy_of_the_machine_does_not_get_between(
    cluster: Embedded, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert metrics.value("vector(1)") == 1
    assert Kube(cluster.kubeconfig()).object("namespace/default").name == "default"
