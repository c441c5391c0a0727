"""What `cluster` and `namespace` are in a folder whose cluster is one of kind: its conftest imports them."""

from __future__ import annotations

import pytest

from labkit.kube import Kube
from localcluster.kind.provider import Kind


@pytest.fixture(scope="session")
def cluster(kind_cluster: Kind) -> Kind:
    return kind_cluster


@pytest.fixture
def namespace(kind_namespace: Kube) -> Kube:
    return kind_namespace
