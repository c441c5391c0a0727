"""A lab on a kernel without nf_tables: our balancer listens on ClusterIPs, and what is lacking is said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from labkit import pull_secret, reset
from labkit.kube import Kube
from localcluster import polling
from localcluster.embedded.provider import Embedded
from localcluster.images.push import publish
from localcluster.images.reference import parse
from localcluster.provider import Spec
from localcluster.toolchain.locate import BIN_DIR
from tests.cluster.live.test_network import IDLE, IMAGE, SERVER, apply, get, pod, service
from tests.cluster.live.test_network_policy import policy
from tests.clusters import running

pytestmark = pytest.mark.embedded

NFT = """#!/bin/sh
if [ "$1" = --version ]; then echo "nftables v1.0.6"; exit; fi
echo "Operation not supported" >&2
exit 1
"""


@pytest.fixture(scope="module")
def lab(own_home: Path, queue_image: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    del own_home, queue_image
    folder = tmp_path_factory.mktemp("bin")
    (folder / "nft").write_text(NFT)
    (folder / "nft").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(BIN_DIR, str(folder))
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{folder}:/usr/bin:/bin")
        with running(Spec(name="plain", gpu_nodes=1, cpu_nodes=1)) as made:
            yield made


@pytest.fixture(scope="module")
def kube(lab: Embedded) -> Kube:
    publish(parse(IMAGE), lab.registry())
    made = Kube(lab.kubeconfig(), namespace="plain")
    made.ensure_namespace()
    pull_secret.make(made, lab.registry(), name=reset.PULL_SECRET)
    apply(made, pod("web", SERVER), service("web"), pod("client", IDLE))
    made.until("pod/web ready", "pod/client ready", seconds=60)
    return made


def test_a_service_is_reached_by_address_and_by_name(lab: Embedded, kube: Kube) -> None:
    ip = kube.object("service/web").at("spec.clusterIP")
    urls = [f"http://{ip}/", "http://web/", "http://web.plain.svc.cluster.local/"]
    polling.until(lambda: get(kube, "client", *urls) == ["0.0"] * 3, "the Service to answer", seconds=30)
    assert get(kube, "web", urls[2]) == ["0.0"]  # itself
    assert httpx.get(lab.address("plain", "web", 80), trust_env=False).is_success
    kube.kubectl("delete", "pod", "web", "--now")
    polling.until(lambda: "refused" in get(kube, "client", urls[0])[0], "nobody to answer", seconds=30)


def test_an_address_that_was_told_answers_at_once(lab: Embedded, kube: Kube) -> None:
    for number in range(5):
        apply(kube, service(f"new-{number}", selector={"app": "again"}), pod("again", SERVER))
        kube.until("pod/again ready", seconds=60)
        assert httpx.get(lab.address("plain", f"new-{number}", 80), trust_env=False).is_success


def test_what_is_lacking_is_said(lab: Embedded, kube: Kube) -> None:
    (does,) = [part.does for part in lab.parts() if part.name == "network"]
    assert does.endswith(
        "nf_tables does not work here (Operation not supported): Services are TCP only, no policy is enforced"
    )
    apply(kube, policy("deny", None, ingress=[]))
    polling.until(
        lambda: "PolicyNotEnforced" in kube.kubectl("get", "events"), "the event about it", seconds=30
    )
