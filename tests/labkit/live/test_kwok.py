"""Nodes that nobody has, on the real control plane: they take pods, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.evidence.pace import Pacing
from labkit.kube import Kube
from labkit.metrics.client import Metrics
from localcluster import kwok, spawn
from localcluster.embedded.provider import Embedded

pytestmark = [pytest.mark.embedded, pytest.mark.long]

DEPLOYMENT = Path(__file__).parents[3] / "manifests" / "09-placement" / "thousand.yaml"
COUNT = 20


@pytest.fixture
def fleet(cluster: Embedded, namespace: Kube) -> Iterator[Kube]:
    """Twenty of them, gone after the test."""
    kwok.add(namespace.api, cluster, nodes=COUNT, report=print)
    yield namespace
    kwok.remove(namespace.api, cluster, report=print)


def deployment(folder: Path, replicas: int) -> Path:
    """The Deployment of notebook 09, smaller."""
    file = folder / "fewer.yaml"
    file.write_text(DEPLOYMENT.read_text().replace("replicas: 1000", f"replicas: {replicas}"))
    return file


def leases(kube: Kube) -> set[str]:
    items = kube.raw("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases")["items"]
    return {item["metadata"]["name"] for item in items}


def test_pods_find_a_place_on_nodes_that_nobody_has(cluster: Embedded, fleet: Kube, tmp_path: Path) -> None:
    pacing = Pacing(fleet, selector="app=thousand").start()
    fleet.apply(deployment(tmp_path, 3 * COUNT))
    fleet.until(f"deployment/thousand ready={3 * COUNT}", seconds=60)
    pace = pacing.stop()
    assert len(pace.bound) == 3 * COUNT
    assert pace.seconds > 0
    assert "kwok" in {part.name for part, _, state in cluster.states() if state == "ready"}
    assert {pod.at("spec.nodeName")[:5] for pod in fleet.objects("pods")} == {"kwok-"}


def test_nobody_scrapes_a_node_that_nobody_has(cluster: Embedded, fleet: Kube) -> None:
    at = cluster.prometheus()
    metrics = Metrics(at.url, ca=at.ca, cert=at.cert, key=at.key, clock=cluster.spec().clock)
    assert not metrics.query('up{instance=~"kwok-.*"}', may_be_empty=True)


def test_nothing_is_left_over_not_even_of_pods_that_still_ran(
    cluster: Embedded, namespace: Kube, tmp_path: Path
) -> None:
    before = {n.name for n in namespace.objects("nodes")}
    kwok.add(namespace.api, cluster, nodes=COUNT, report=print)
    namespace.apply(deployment(tmp_path, COUNT))
    namespace.until(f"deployment/thousand ready={COUNT}", seconds=60)
    process = spawn.Proc.load(cluster.layout.record("kwok"))
    assert process
    assert process.alive()
    kwok.remove(namespace.api, cluster, report=print)
    assert {n.name for n in namespace.objects("nodes")} == before
    assert leases(namespace) == before
    assert not [p for p in namespace.objects("pods") if p.at("spec.nodeName", "").startswith("kwok-")]
    assert not process.alive()
    assert not cluster.layout.record("kwok").exists()
    assert "kwok" not in {part.name for part, _, _ in cluster.states()}
    kwok.remove(namespace.api, cluster, report=print)  # safe to repeat
