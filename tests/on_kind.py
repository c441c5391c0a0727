"""What tests on a kind cluster share: one for the session, one namespace for each test.

Uses the kind lab that runs (LABKIT_HOME, LABKIT_LAB); makes one for the session where none does, from the
node image and kubeadm patches that LABKIT_KIND_NODE_IMAGE and LABKIT_KIND_NODE_PATCHES name, else kind's own.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from labkit.errors import ProviderError
from labkit.kube import Kube
from localcluster.kind.provider import Kind
from tests.cluster.kind.wanted import wanted


@pytest.fixture(scope="session")
def kind_cluster() -> Iterator[Kind]:
    """The cluster that all tests share: 3 GPU nodes with 4 GPUs each, one node without."""
    lab = Kind()
    try:
        lab.kubeconfig()
        started = False
    except ProviderError:
        lab.up(wanted())
        started = True
    yield lab
    if started:
        lab.down()


@pytest.fixture
def kind_namespace(kind_cluster: Kind) -> Iterator[Kube]:
    """A fresh namespace, and `kube` in it; gone after the test."""
    name, clock = f"t-{uuid.uuid4().hex[:8]}", kind_cluster.spec().clock
    kube = Kube(kind_cluster.kubeconfig(), namespace=name, clock=clock)
    kube.ensure_namespace()
    yield kube
    kube.kubectl("delete", "hpa,deployment,replicaset,pod", "--all", "--grace-period=1", "--wait=true")
    kube.delete_namespace(wait=False)
