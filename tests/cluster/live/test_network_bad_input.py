"""What a network meets that nobody planned for: ranges that the host uses itself, and a pod that floods."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from labkit import pull_secret, reset
from labkit.kube import Kube
from localcluster import polling, spawn
from localcluster.embedded.provider import Embedded
from tests.cluster.live.test_network import IDLE, SERVER, apply, get, pod, service

pytestmark = pytest.mark.embedded

PACKETS = 100_000
FLOOD = """
import itertools, socket, sys
to, sent, refused = (sys.argv[1], int(sys.argv[2])), 0, 0
for port in itertools.cycle(range(1024, 61024)):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("", port))
            sock.sendto(b"x", to)
        except OSError:
            refused += 1
    sent += 1
    if sent == int(sys.argv[3]):
        print(sent, refused)
        break
"""


@pytest.fixture
def kube(cluster: Embedded, namespace: Kube, queue_image: None) -> Kube:
    del queue_image
    pull_secret.make(namespace, cluster.registry(), name=reset.PULL_SECRET)
    return namespace


def test_a_pod_that_sends_a_hundred_thousand_packets_stops_nobody(kube: Kube) -> None:
    """From 60,000 ports, each a connection of its own to who keeps count of them."""
    apply(kube, pod("web", SERVER), service("web"), pod("client", IDLE), pod("flood", IDLE))
    kube.until("pod/web ready", "pod/client ready", "pod/flood ready", seconds=60)
    ip = kube.object("service/web").at("spec.clusterIP")
    url = f"http://{ip}/"
    polling.until(lambda: get(kube, "client", url) == ["0.0"], "the Service to answer", seconds=30)
    pod_ip = kube.object("pod/web").at("status.podIP")
    sent, refused = kube.kubectl(
        "exec", "flood", "--", "python3", "-c", FLOOD, pod_ip, "9", str(PACKETS)
    ).split()
    assert int(sent) == PACKETS
    assert int(refused) < PACKETS / 100
    assert get(kube, "client", *[url] * 20) == ["0.0"] * 20
    assert get(kube, "flood", url) == ["0.0"]


@pytest.mark.skipif(not shutil.which("unshare"), reason="there is no program `unshare`")
def test_ranges_that_the_host_uses_do_not_collide(tmp_path: Path) -> None:
    alone = ["unshare", "--user", "--map-root-user", "--net"]
    env = {**os.environ, "LABKIT_HOME": str(tmp_path)}
    words = [*alone, sys.executable, "-m", "tests.cluster.live.on_a_taken_network"]
    done = spawn.run(words, env=env, seconds=300)
    assert done.returncode == 0, done.stderr
    lab, company = ["0.0", "0.0"], ["company", "company"]
    assert json.loads(done.stdout.splitlines()[-1]) == [lab, company, "0.0"]
