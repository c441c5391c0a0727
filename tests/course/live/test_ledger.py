"""The ledger on a real controller: what it computes is what the controller does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from course.hpa import ledger, why
from course.hpa.ledger import Ledger, Line
from labkit.kube import Kube
from labkit.lab import Lab, Session
from localcluster import polling
from localcluster.embedded.provider import Embedded
from tests.cluster.live.test_metrics_pipeline import MANIFESTS, SetQueue, kube, served, set_queue

__all__ = ["kube", "set_queue"]  # fixtures of the metrics pipeline: servers whose queue a test sets

pytestmark = pytest.mark.embedded

CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "1m"}},
}


def total_of(namespace: str) -> dict[str, Any]:
    """A metric of type Object: the whole namespace's queue."""
    return {
        "type": "Object",
        "object": {
            "metric": {"name": "vllm_request_queue_size"},
            "describedObject": {"apiVersion": "v1", "kind": "Namespace", "name": namespace},
            "target": {"type": "AverageValue", "averageValue": "5"},
        },
    }


def kept(cluster: Embedded, kube: Kube) -> Ledger:
    found = ledger.read(cluster.layout.dir / "audit", clock=cluster.spec().clock)
    return found.of(namespace=kube.namespace)


def hpa(path: Path, **spec: Any) -> Path:
    """The lesson's HPA with another spec, as a file that can be applied."""
    text = (MANIFESTS / "base" / "hpa.yaml").read_text()
    obj = yaml.safe_load(text)
    obj["spec"] |= spec
    path.write_text(yaml.safe_dump(obj))
    return path


def scale_out_and_in(kube: Kube, set_queue: SetQueue, path: Sequence[int]) -> None:
    """Fill and empty the queues, and see the HPA go through the first and the last of these counts."""
    set_queue(50)
    kube.until(f"hpa/llm-hpa desired={path[-1]}", f"pods app=llm-model ready={path[-1]}", seconds=60)
    set_queue(0)
    kube.until("hpa/llm-hpa desired=2", seconds=90)


def test_every_decision_of_the_lessons_hpa_comes_out_again(
    cluster: Embedded, kube: Kube, set_queue: SetQueue
) -> None:
    kube.apply(MANIFESTS / "base" / "hpa.yaml")
    scale_out_and_in(kube, set_queue, [2, 4, 8, 10])
    found = kept(cluster, kube)
    assert found.disagreements == ()
    assert len(found.lines) > 20
    rise = [line.did for line in found.lines if line.decision.scales][:3]
    assert rise == [4, 8, 10]
    held = [line for line in found.lines if line.decision.stabilized.by == "ScaleDownStabilized"]
    assert held
    assert all(line.why.startswith("Stays at") or "counts" in line.why for line in held)


def test_a_notebook_is_told_why(
    cluster: Embedded, kube: Kube, set_queue: SetQueue, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = Lab(Session(cluster, cluster.spec().clock, 0, "test"), kube)
    kube.apply(MANIFESTS / "base" / "hpa.yaml")
    seen = lab.record()
    set_queue(50)
    kube.until("hpa/llm-hpa desired=10", seconds=60)
    kube.until("pods app=llm-model ready=10", seconds=60)
    run = seen.stop()
    polling.until(
        lambda: len(ledger.of_lab(lab, run).telling().lines) >= 3, "the syncs of the way up", seconds=10
    )
    why(lab, run)
    said = capsys.readouterr().out
    assert re.search(r"2 → 4: vllm_request_queue_size is \d+ per pod against a target of 5", said)
    assert ledger.of_lab(lab, run).agreement == 1.0
    assert run.one("gpus").peak() == run.one("desired").peak()


def test_with_a_behavior_and_several_metrics(
    cluster: Embedded, kube: Kube, set_queue: SetQueue, tmp_path: Path
) -> None:
    queue = yaml.safe_load((MANIFESTS / "base" / "hpa.yaml").read_text())["spec"]["metrics"]
    steps = [{"type": "Pods", "value": 4}, {"type": "Percent", "value": 100}]
    up = {"tolerance": "0.2", "policies": [{**step, "periodSeconds": 15} for step in steps]}
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 60}, "scaleUp": up}
    kube.apply(
        hpa(
            tmp_path / "hpa.yaml",
            behavior=behavior,
            metrics=[*queue, total_of(kube.namespace)],
            maxReplicas=8,
        )
    )
    scale_out_and_in(kube, set_queue, [2, 6, 8])
    kube.apply(hpa(tmp_path / "hpa.yaml", metrics=[CPU], maxReplicas=5))
    polling.until(lambda: any(on_cpu(line) for line in kept(cluster, kube).lines), "a CPU figure", seconds=60)
    found = kept(cluster, kube)
    assert found.agreement >= 0.99, [line.row() for line in found.disagreements]
    rise = [line for line in found.lines if line.decision.desired > line.decision.current]
    assert [line.did for line in rise][:2] == [6, 8]
    assert "the highest of 2 metrics counts" in rise[0].why
    assert "behavior.scaleUp (4 pods in 15 s or 100 % in 15 s)" in rise[0].why


def on_cpu(line: Line) -> bool:
    """Whether a decision was made on a CPU figure."""
    winner = line.decision.winner
    return winner is not None and winner.target.name == "cpu"


def test_a_metric_that_nobody_knows_is_the_reason_for_nothing(
    cluster: Embedded, kube: Kube, tmp_path: Path
) -> None:
    metrics = yaml.safe_load((MANIFESTS / "base" / "hpa.yaml").read_text())["spec"]["metrics"]
    metrics[0]["pods"]["metric"]["name"] = "vllm_queue"
    kube.apply(hpa(tmp_path / "hpa.yaml", metrics=metrics))
    polling.until(lambda: len(kept(cluster, kube).lines) > 2, "three syncs", seconds=30)
    line = kept(cluster, kube).lines[-1]
    assert line.agrees
    assert "vllm_queue could not be computed (the server could not find the metric vllm_queue" in line.why
    assert served(kube, "vllm_queue") == {}
