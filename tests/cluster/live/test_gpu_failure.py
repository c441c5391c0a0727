"""A GPU fails on the embedded cluster (on kind: tests/cluster/kind/test_gpu_plugin.py)."""

from __future__ import annotations

import sys

import pytest

from labkit import reset
from labkit.errors import BadInput
from labkit.kube import Kube
from localcluster import spawn
from localcluster.api.client import Api
from localcluster.embedded.provider import Embedded
from localcluster.gpus.breaking import GpuFaults
from tests import gpu_failure
from tests.cluster.live.test_pods import IMAGE, image, kube

__all__ = ["image", "kube"]  # fixtures

pytestmark = pytest.mark.embedded


@pytest.fixture
def gpus(cluster: Embedded) -> GpuFaults:
    return GpuFaults(Api(cluster.kubeconfig()), cluster.spec().name)


def labkit(cluster: Embedded, *words: str) -> str:
    """What `labkit WORDS` prints for this lab."""
    done = spawn.run([sys.executable, "-m", "labkit.cli", *words, "--name", cluster.layout.dir.name])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_failed_gpu_is_replaced_with_its_pod(kube: Kube, gpus: GpuFaults) -> None:
    secret = [{"name": reset.PULL_SECRET}]
    kube.kubectl("apply", "-f", "-", stdin=gpu_failure.deployment(IMAGE, imagePullSecrets=secret))
    seen = gpu_failure.recovery(kube, gpus)
    assert seen.allocatable == ("4", "3")
    assert (seen.capacity, seen.health, seen.exit_code) == ("4", "Unhealthy", 1)
    assert seen.replaced_by.uuid != seen.failed.uuid
    assert "GPUHealthEviction" in seen.reasons
    assert "GPUUnhealthy" in seen.node_reasons


def test_a_person_breaks_and_heals_a_gpu_from_the_command_line(cluster: Embedded) -> None:
    said = labkit(cluster, "gpu", "fail", "gpu-node-3", "2", "--reason", "Xid 48: double-bit ECC error")
    assert said.startswith("node/gpu-node-3: GPU 2 (GPU-")
    lines = labkit(cluster, "gpu", "ls").splitlines()
    assert len(lines) == 13  # a heading, and 3 nodes with 4 GPUs each
    assert [line.split()[:2] for line in lines if "Xid 48: double-bit ECC error" in line] == [
        ["gpu-node-3", "2"]
    ]
    assert labkit(cluster, "gpu", "heal", "gpu-node-3", "2").rstrip().endswith("is healthy")
    assert "Xid" not in labkit(cluster, "gpu", "ls")


@pytest.mark.parametrize(
    ("node", "gpu", "says"),
    [
        ("cpu-node-1", 0, "The GPUs of node cpu-node-1 are not simulated"),
        ("gpu-node-1", 4, "Node gpu-node-1 has no GPU 4"),
        ("gpu-node-1", "GPU-of-another", "Node gpu-node-1 has no GPU GPU-of-another"),
    ],
)
def test_a_gpu_that_is_not_there_cannot_fail(gpus: GpuFaults, node: str, gpu: int | str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        gpus.fail(node, gpu)
