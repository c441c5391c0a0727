"""Any part of the network may be killed, under load: pods keep their addresses, and doors their ports."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from labkit import pull_secret, reset
from labkit.errors import ClusterError
from labkit.kube import Kube
from localcluster import polling, spawn
from localcluster.embedded.provider import Embedded
from localcluster.layout import Layout
from localcluster.netns import holder
from localcluster.provider import Spec
from tests.cluster.live.test_network import SERVER, apply, pod, service
from tests.clusters import push, running

pytestmark = pytest.mark.embedded

SMALL = Spec(name="network", gpu_nodes=0, cpu_nodes=1)
ASK = """
import sys, urllib.request
while True:
    try:
        urllib.request.urlopen(sys.argv[1], timeout=2).read()
        print("ok", flush=True)
    except OSError:
        pass
"""


def furnished(lab: Embedded) -> Kube:
    """A namespace with two servers, the Service `web` in front, and a pod that asks it all the time."""
    push(lab, "queue_server")
    kube = Kube(lab.kubeconfig(), namespace="here")
    kube.ensure_namespace()
    pull_secret.make(kube, lab.registry(), name=reset.PULL_SECRET)
    web = service("web", clusterIP="10.96.77.7", selector={"part": "server"})
    servers = [pod(name, SERVER) for name in ("one", "two")]
    for each in servers:
        each["metadata"]["labels"]["part"] = "server"
    apply(kube, web, *servers)
    kube.until("pod/one ready", "pod/two ready", seconds=60)
    apply(kube, pod("asks", {"command": ["python3", "-c", ASK, "http://10.96.77.7/"]}))
    kube.until("pod/asks ready", seconds=60)
    return kube


@dataclass
class Load:
    """Asks a door all the time, from this machine; `answers` counts what came back."""

    url: str
    answers: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with httpx.Client(trust_env=False, timeout=5) as client:
            while not self.over.is_set():
                try:
                    client.get(self.url, headers={"Connection": "close"})
                    self.answers += 1
                except httpx.TransportError:
                    self.over.wait(0.02)


@pytest.fixture(scope="module")
def lab(own_home: Path) -> Iterator[Embedded]:
    with running(SMALL) as started:
        yield started


@pytest.fixture(scope="module")
def kube(lab: Embedded) -> Kube:
    return furnished(lab)


@pytest.fixture
def load(lab: Embedded, kube: Kube) -> Iterator[Load]:
    made = Load(lab.address("here", "web", 80))
    thread = threading.Thread(target=made.run)
    thread.start()
    polling.until(lambda: made.answers, "the first answer", seconds=30)
    yield made
    made.over.set()
    thread.join()


def pid_of(layout: Layout, component: str) -> int:
    """The process of a component; `edge inside` is the edge's half in the lab."""
    name, _, inner = component.partition(" ")
    proc = spawn.Proc.load(layout.record(name))
    if proc is None or not proc.alive():
        return 0
    if not inner:
        return proc.pid
    return next((child.pid for child in psutil.Process(proc.pid).children()), 0)


def network_of(pid: int) -> int:
    return Path(f"/proc/{pid}/ns/net").stat().st_ino


def pods(kube: Kube) -> dict[str, tuple[Any, ...]]:
    """Where each pod is, and which run of its container that is."""
    return {
        p.name: (p.at("status.podIP"), *run_of(p.at("status.containerStatuses")[0])) for p in listed(kube)
    }


def run_of(status: dict[str, Any]) -> tuple[str, int]:
    return status["containerID"], status["restartCount"]


def listed(kube: Kube) -> list[Any]:
    return list(kube.objects("pods"))


def asked(kube: Kube) -> int:
    """How often the pod that asks has had an answer."""
    return kube.logs("asks").count("ok")


def mended(lab: Embedded, load: Load, kube: Kube) -> None:
    """The lab is whole, and load goes on both from this machine and from the pod."""
    polling.until(lab.running, "the lab to be whole again", seconds=90)
    for count, who in ((lambda: load.answers, "this machine"), (lambda: asked(kube), "the pod")):
        goes_on(count, f"answers for {who}")


def goes_on(count: Callable[[], int], what: str) -> None:
    before = polling.until(lambda: tried(count), what, seconds=60)
    polling.until(lambda: tried(count) > before + 5, what, seconds=60)


def tried(count: Callable[[], int]) -> int:
    try:
        return count()
    except ClusterError:  # the part that answers is not back yet
        return 0


@pytest.mark.parametrize(
    "component", ["network", "edge", "edge inside", "kube-proxy", "coredns", "node-agent", "supervisor"]
)
def test_what_is_killed_under_load_comes_back_and_moves_nothing(
    lab: Embedded, kube: Kube, load: Load, component: str
) -> None:
    at = lab.layout
    before, lab_network = pods(kube), network_of(holder.pid_of(at.dir))
    killed = pid_of(at, component)
    os.kill(killed, signal.SIGKILL)
    if component == "supervisor":
        polling.until(lambda: not lab.running(), "the lab to notice", seconds=10)
        lab.up(lab.spec())
    polling.until(lambda: pid_of(at, component) not in {0, killed}, f"another {component}", seconds=30)
    mended(lab, load, kube)
    assert network_of(holder.pid_of(at.dir)) == lab_network
    assert lab.address("here", "web", 80) == load.url
    assert pods(kube) == before


def test_both_holders_of_the_network_may_be_killed(lab: Embedded, kube: Kube, load: Load) -> None:
    """Supervisor, holder and edge: only what lives in the network still knows it."""
    before, lab_network = pods(kube), network_of(holder.pid_of(lab.layout.dir))
    for component in ("supervisor", "network", "edge"):
        os.kill(pid_of(lab.layout, component), signal.SIGKILL)
    lab.up(lab.spec())
    mended(lab, load, kube)
    assert network_of(holder.pid_of(lab.layout.dir)) == lab_network
    assert lab.address("here", "web", 80) == load.url
    assert pods(kube) == before


def in_networks(networks: set[int]) -> list[psutil.Process]:
    """Every process of this machine in one of these namespaces, marked or not."""
    found = []
    for process in psutil.process_iter():
        try:
            if network_of(process.pid) in networks:
                found.append(process)
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


def components(layout: Layout) -> list[int]:
    """The processes of all components, the supervisor's first: it would restart the others."""
    names = sorted(
        (path.stem for path in (layout.dir / "run").glob("*.json")), key=lambda n: n != "supervisor"
    )
    return [pid for name in names if (pid := pid_of(layout, name))]


def networks_of(layout: Layout) -> set[int]:
    here = network_of(os.getpid())
    return {network_of(proc.pid) for proc in spawn.marked(layout.dir)} - {here}


@contextlib.contextmanager
def kept(layout: Layout) -> Iterator[None]:
    """Keep the numbers of a lab's networks from being given to new ones."""
    with contextlib.ExitStack() as stack:
        for proc in spawn.marked(layout.dir):
            with contextlib.suppress(OSError):  # it has just ended
                stack.callback(os.close, os.open(f"/proc/{proc.pid}/ns/net", os.O_RDONLY))
        yield


def test_pods_that_outlived_their_lab_are_restarted_in_its_new_network(
    lab: Embedded, kube: Kube, load: Load
) -> None:
    old, before = networks_of(lab.layout), pods(kube)
    lab_network = network_of(holder.pid_of(lab.layout.dir))
    with kept(lab.layout):
        for pid in components(lab.layout):
            os.kill(pid, signal.SIGKILL)
        polling.until(
            lambda: not [p for p in in_networks({lab_network}) if p.is_running()],
            "the lab to end",
            seconds=20,
        )
        assert in_networks(old), "the pods live on"
        lab.up(lab.spec())
        mended(lab, load, kube)
        assert in_networks(old) == []
    after = pods(kube)
    assert {name: ip for name, (ip, *_) in after.items()} == {name: ip for name, (ip, *_) in before.items()}
    assert {name: run[2] for name, run in after.items()} == {name: run[2] + 1 for name, run in before.items()}


@pytest.mark.parametrize(
    "dead",
    [("network", "supervisor"), ("edge inside", "node-agent", "supervisor"), ()],
    ids=["no holder", "no agent", "only pods"],
)
def test_down_leaves_no_process_whatever_died_before(own_home: Path, dead: tuple[str, ...]) -> None:
    with contextlib.ExitStack() as stack:
        with running(replace(SMALL, name="ends")) as lab:
            furnished(lab)
            networks = networks_of(lab.layout)
            stack.enter_context(kept(lab.layout))
            pids = [pid_of(lab.layout, name) for name in sorted(dead, reverse=True)] or components(lab.layout)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        assert spawn.marked(lab.layout.dir) == []
        assert in_networks(networks) == []
    assert [path.name for path in lab.layout.dir.iterdir()] == ["logs"]
