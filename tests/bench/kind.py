"""How long a kind lab takes to come up, beside plain kind with the same nodes; how fast its HPA answers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from labkit import reset
from labkit.kube.client import Kube
from localcluster import spawn
from localcluster.kind import files
from localcluster.kind.provider import Kind
from localcluster.kind.settings import Settings
from localcluster.provider import Spec
from localcluster.toolchain import ladder
from tests.bench import pods
from tests.bench.figures import Figure, median
from tests.cluster.kind.wanted import wanted

NAME = "bench-kind"
ROUNDS = 3


def run(folder: Path) -> list[Figure]:
    """Both in turns, then the HPA on the last lab."""
    spec = wanted(NAME)
    lab = Kind(NAME)
    lab.up(spec)  # images are made and cached: once per machine
    lab.down()
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(_plain(spec))
        lab.down()
        ours.append(_seconds(lambda: lab.up(spec)))
    try:
        kube = Kube(lab.kubeconfig(), namespace=pods.NAMESPACE, clock=spec.clock)
        reset.run(kube, lab, lambda _line: None)
        note = f"everything ready {median(ours):.1f} s, plain kind with Ready nodes {median(theirs):.1f} s"
        ratio = median(ours) / median(theirs)
        return [
            Figure("up --provider kind, over plain kind", ratio, "×", 1.5, ROUNDS, note),
            *pods.reaction(lab, kube, folder, targets=(1.5, 3.0)),
        ]
    finally:
        lab.down()


def _plain(spec: Spec) -> float:
    """`kind create cluster` with as many nodes of the same image, until they are Ready; then delete."""
    kind = ladder.ensure(["kind"])["kind"]
    lab = Kind(NAME)
    (lab.layout.dir / "certs.d").mkdir(parents=True, exist_ok=True)
    ours = yaml.safe_load(files.cluster_config(lab.layout, Settings.new(spec)))
    nodes = [{k: v for k, v in node.items() if k in {"role", "image"}} for node in ours["nodes"]]
    patches = list(yaml.safe_load_all(Path(spec.node_patches).read_text())) if spec.node_patches else []
    config = {
        "kind": "Cluster",
        "apiVersion": ours["apiVersion"],
        "nodes": nodes,
        "kubeadmConfigPatches": [yaml.safe_dump(patch) for patch in patches],
    }
    with tempfile.TemporaryDirectory(prefix="labkit-bench-") as folder:
        file = Path(folder) / "cluster.yaml"
        file.write_text(yaml.safe_dump(config))
        kubeconfig = ("--kubeconfig", Path(folder) / "kubeconfig")
        create = (kind, "create", "cluster", "--name", "plain", "--config", file, "--wait", "120s")
        took = _seconds(lambda: spawn.run((*create, *kubeconfig)))
        spawn.run((kind, "delete", "cluster", "--name", "plain", *kubeconfig))
    return took


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
