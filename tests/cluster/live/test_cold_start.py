"""Cold starts on the embedded cluster: declared sizes, preemption, and a start told in phases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit import pull_secret, reset
from labkit.kube import Kube
from labkit.lab import Lab
from localcluster import polling
from localcluster.embedded.provider import Embedded
from localcluster.images.build import Request, build
from localcluster.images.push import publish
from localcluster.images.reference import parse
from localcluster.images.store import Store

pytestmark = pytest.mark.embedded

IMAGE = "registry.lab:5000/large:1.0"
ROOT = Path(__file__).parents[3]
COLD = ROOT / "manifests" / "07-cold-starts"
GIB = 2**30


@pytest.fixture(scope="module")
def large(cluster: Embedded, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An image of a few bytes that declares 3 GiB: 48 lab seconds, 3 real ones."""
    folder = tmp_path_factory.mktemp("large")
    lines = ("FROM python:3.11-slim", f'LABEL dev.labkit.simulated-bytes="{3 * GIB}"', "WORKDIR /large")
    (folder / "Dockerfile").write_text("\n".join(lines))
    access, ref = cluster.registry(), parse(IMAGE)
    build(Request(folder, ref), Store())
    publish(ref, access)


@pytest.fixture
def kube(cluster: Embedded, namespace: Kube, large: None) -> Kube:
    pull_secret.make(namespace, cluster.registry(), name=reset.PULL_SECRET)
    return namespace


@pytest.fixture
def lab(lab: Lab) -> Lab:
    """As a notebook finds it."""
    lab.reset()
    return lab


def sleeper(name: str, *, gpus: int = 0, **spec: Any) -> str:
    limits = {"nvidia.com/gpu": gpus} if gpus else {}
    main = {"name": "main", "image": IMAGE, "imagePullPolicy": "Always", "command": ["sleep", "infinity"]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "imagePullSecrets": [{"name": reset.PULL_SECRET}],
            "terminationGracePeriodSeconds": 0,
            "nodeSelector": {"kubernetes.io/hostname": "gpu-node-1"},
            "containers": [main | {"resources": {"limits": limits}}],
            **spec,
        },
    }
    return yaml.safe_dump(pod)


def said(kube: Kube, pod: str, reason: str) -> str:
    """The message of a pod's event, as soon as it is there."""

    def found() -> str:
        events = [e for e in kube.objects("events") if e.at("involvedObject.name") == pod]
        return next((str(e.at("message")) for e in events if e.at("reason") == reason), "")

    return polling.until(found, f"the event {reason} of {pod}", seconds=30)


def test_a_declared_size_is_waited_for_once_per_node_and_said_to_be_simulated(kube: Kube) -> None:
    kube.kubectl("apply", "-f", "-", stdin=sleeper("first"))
    kube.until("pod/first ready", seconds=40)
    words = said(kube, "first", "Pulled")
    assert f"Image size: {3 * GIB} bytes. SIMULATED" in words
    assert "download 16.1 s, unpack 32.2 s of lab time" in words
    images = kube.object("node/gpu-node-1").at("status.images", [])
    polling.until(
        lambda: 3 * GIB in [i["sizeBytes"] for i in kube.object("node/gpu-node-1").at("status.images", [])],
        "the node to tell the image's declared size",
        seconds=20,
        last_seen=lambda: str(images),
    )
    kube.kubectl("apply", "-f", "-", stdin=sleeper("second"))
    kube.until("pod/second ready", seconds=40)
    assert "SIMULATED" not in said(kube, "second", "Pulled")


@pytest.fixture
def low(kube: Kube) -> Iterator[str]:
    """A PriorityClass below the default, taken away by the course's own reset."""
    name = f"low-{kube.namespace}"
    made = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": -10}
    made |= {"metadata": {"name": name, "labels": {reset.COURSE: "test"}}}
    kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(made))
    yield name
    reset.cluster_wide(kube, print)
    assert not [c for c in kube.objects("priorityclasses") if c.name == name]


def test_a_placeholder_makes_room_for_a_pod_of_higher_priority(kube: Kube, low: str) -> None:
    for name in ("one", "two"):
        kube.kubectl("apply", "-f", "-", stdin=sleeper(name, gpus=2, priorityClassName=low))
    kube.until("pod/one ready", "pod/two ready", seconds=60)
    kube.kubectl("apply", "-f", "-", stdin=sleeper("server", gpus=1))
    kube.until("pod/server ready", seconds=30)
    left = {pod.name for pod in kube.objects("pods")}
    assert len(left) == 2
    (victim,) = {"one", "two"} - left
    assert "Preempted by pod" in said(kube, victim, "Preempted")
    assert "Stopping container" in said(kube, victim, "Killing")
    assert kube.object("pod/server").at("spec.nodeName") == "gpu-node-1"


def test_a_start_is_told_from_the_new_pod_to_the_first_token(lab: Lab) -> None:
    watch = lab.time_start()
    lab.apply(COLD / "fast")
    start = watch.first_token(seconds=60)
    names = [span.state for span in start.phases]
    assert names[0] == "schedule"
    assert names[-2:] == ["ready", "first token"]
    assert {"import", "weights", "warm-up"} <= set(names)
    assert start.seconds("import") == pytest.approx(20, abs=15)  # a busy machine sees a log line late
    assert start.total >= sum(start.seconds(p) for p in ("import", "weights", "warm-up"))
