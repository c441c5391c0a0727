"""What tests on an embedded cluster share: one for the session, one namespace for each test."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import reset
from labkit.kube import Kube
from labkit.lab import NAMESPACE, Lab, Session
from localcluster.embedded.provider import Embedded
from localcluster.images.build import Request, build
from localcluster.images.push import publish
from localcluster.images.reference import parse
from localcluster.images.store import Store
from localcluster.provider import Spec


@pytest.fixture(scope="session")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Labs of the tests live apart from those of the person who runs them."""
    home = tmp_path_factory.mktemp("labs")
    before = os.environ.get("LABKIT_HOME")
    os.environ["LABKIT_HOME"] = str(home)
    yield home
    os.environ.pop("LABKIT_HOME")
    if before is not None:
        os.environ["LABKIT_HOME"] = before


@contextlib.contextmanager
def running(spec: Spec) -> Iterator[Embedded]:
    """A lab that is taken down whatever happens."""
    lab = Embedded(spec.name)
    lab.up(spec)
    try:
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="session")
def cluster(own_home: Path) -> Iterator[Embedded]:
    """The cluster that most tests share: 3 GPU nodes with 4 GPUs each, one node without."""
    with running(Spec(name="tests")) as lab:
        yield lab


@pytest.fixture(scope="session")
def queue_image(cluster: Embedded) -> None:
    """A server whose queue is as long as a test says, in the lab's registry."""
    push(cluster, "queue_server")


def push(lab: Embedded, image: str) -> None:
    """Build one of the tests' images, and put it into a lab's registry as NAME:1.0."""
    access = lab.registry()
    ref = parse(f"{access.host}/{image.replace('_', '-')}:1.0")
    build(Request(Path(__file__).parent / "images" / image, ref), Store())
    publish(ref, access)


@pytest.fixture
def namespace(cluster: Embedded) -> Iterator[Kube]:
    """A fresh namespace, and `kube` in it; gone after the test."""
    kube = Kube(cluster.kubeconfig(), namespace=f"t-{uuid.uuid4().hex[:8]}")
    kube.ensure_namespace()
    yield kube
    # The GPUs must be free for the next test; the namespace itself may take its time (5 s at the least).
    kube.kubectl("delete", "hpa,deployment,replicaset,pod", "--all", "--grace-period=1", "--wait=true")
    kube.delete_namespace(wait=False)


@pytest.fixture
def lab(cluster: Embedded) -> Iterator[Lab]:
    """A notebook's handle on the cluster, with an empty namespace before and after."""
    clock = cluster.spec().clock
    kube = Kube(cluster.kubeconfig(), namespace=NAMESPACE, clock=clock)
    made = Lab(Session(cluster, clock, 0, "test"), kube)
    reset.clear(kube, print)
    yield made
    reset.clear(kube, print)
