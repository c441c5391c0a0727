"""A lab whose pods together may hold only so much of this machine's memory, as those of a submission."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit.kube import Kube
from labkit.lab import NAMESPACE, Lab, Session
from localcluster import polling
from localcluster.provider import Spec
from tests.clusters import running

pytestmark = pytest.mark.embedded

ALONE = "held = bytearray(512 * 2**20)"
MANY = """
import os, time
for number in range(8):
    if os.fork() == 0:
        held = bytearray(b"x" * (60 * 2**20))
        time.sleep(600)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def kube(own_home: Path) -> Iterator[Kube]:
    with running(Spec(name="pressure", memory_mib=256, gpu_nodes=1, gpus_per_node=1)) as lab:
        kube = Kube(lab.kubeconfig(), namespace=NAMESPACE, clock=lab.spec().clock)
        Lab(Session(lab, lab.spec().clock, 0, "test"), kube).reset()
        yield kube


def start(kube: Kube, name: str, program: str) -> None:
    main = {
        "name": "main",
        "image": "registry.lab:5000/llm-inference:1.0",
        "command": ["python3", "-c", program],
    }
    spec: dict[str, Any] = {"restartPolicy": "Never", "containers": [main]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(pod))


def over(kube: Kube, name: str) -> str:
    """How a pod ended: its reason."""
    polling.until(
        lambda: kube.object(f"pod/{name}").at("status.phase") == "Failed", f"{name} to end", seconds=60
    )
    return str(kube.object(f"pod/{name}").at("status.reason", ""))


def test_one_process_gets_no_more_than_all_pods_may_hold(kube: Kube) -> None:
    start(kube, "alone", ALONE)
    assert over(kube, "alone") == ""
    assert "MemoryError" in kube.logs("alone")


def test_whoever_holds_most_is_evicted_and_the_others_stay(kube: Kube) -> None:
    start(kube, "calm", "import time; time.sleep(600)")
    kube.until("pod/calm ready", seconds=60)
    start(kube, "many", MANY)
    assert over(kube, "many") == "Evicted"
    said = kube.object("pod/many").at("status.message")
    assert said.startswith(
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 0. Container main"
    )
    kube.until("pod/calm ready", seconds=10)
