"""What a learner types at a running pod: logs, exec, top; and what a client meets behind a Service."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import pull_secret, reset
from labkit.errors import ProviderError, Refused
from labkit.kube import Kube
from localcluster import polling, spawn
from localcluster.api.kubectl import binary
from localcluster.api.objects import KubeObject
from localcluster.embedded.provider import Embedded
from localcluster.images.build import Request, build
from localcluster.images.push import publish
from localcluster.images.reference import parse
from localcluster.images.store import Store
from localcluster.netns import doors

pytestmark = pytest.mark.embedded

HERE = Path(__file__).parents[2] / "images" / "echo_server"


@pytest.fixture(scope="module")
def image(cluster: Embedded) -> None:
    access = cluster.registry()
    ref = parse(f"{access.host}/echo-server:1.0")
    build(Request(HERE, ref), Store())
    publish(ref, access)


@pytest.fixture
def kube(cluster: Embedded, namespace: Kube, image: None) -> Kube:
    del image
    pull_secret.make(namespace, cluster.registry(), name=reset.PULL_SECRET)
    namespace.apply(HERE / "manifest.yaml")
    namespace.until("pods app=echo ready=3", seconds=30)
    return namespace


def connected(cluster: Embedded, pod: KubeObject) -> socket.socket:
    host, _, port = cluster.pod_address(pod).rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def pods(kube: Kube) -> list[KubeObject]:
    return kube.objects("pods")


def run(kube: Kube, *words: str, stdin: str | None = None) -> spawn.Finished:
    """kubectl with its exit status, which `kube.kubectl` turns into an error."""
    env = {**os.environ, "KUBECONFIG": str(kube.kubeconfig)}
    argv: list[str | Path] = [binary(), "--namespace", kube.namespace, *words]
    return spawn.run(argv, env=env, stdin=stdin, seconds=60)


class Talk:
    """One connection to the Service: say a line, hear the name of a pod."""

    def __init__(self, cluster: Embedded, kube: Kube) -> None:
        url = cluster.address(kube.namespace, "echo", 7)
        host, _, port = url.removeprefix("http://").rpartition(":")
        self.port = int(port)
        self.socket = socket.create_connection((host, self.port), timeout=10)
        self.file = self.socket.makefile("rw")

    def say(self, line: str = "who") -> str:
        self.file.write(f"{line}\n")
        self.file.flush()
        return self.file.readline().strip()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what was not sent can't be any more
            self.file.close()
        self.socket.close()


@pytest.fixture
def talk(cluster: Embedded, kube: Kube) -> Iterator[Talk]:
    polling.until(lambda: reachable(cluster, kube), "the Service to be balanced", seconds=10)
    conversation = Talk(cluster, kube)
    yield conversation
    conversation.close()


def reachable(cluster: Embedded, kube: Kube) -> bool:
    try:
        return heard(cluster, kube) not in {"", "nobody"}
    except ProviderError:
        return False


def heard(cluster: Embedded, kube: Kube) -> str:
    """As `answer`, or "nobody": between the end of a pod's server and the news of it some are reset."""
    try:
        return answer(cluster, kube)
    except OSError:
        return "nobody"


def refused(cluster: Embedded, kube: Kube) -> bool:
    """Whether the Service's address refuses in the lab, where pods ask, and a door to it breaks off.

    A door always accepts; it learns only then that there is nobody, and resets.
    """
    ip = kube.object("service/echo").at("spec.clusterIP")
    try:
        doors.connected(cluster.layout.dir / doors.INSIDE, f"{ip}:7").close()
    except ConnectionError as error:
        return "refused" in str(error) and heard(cluster, kube) in {"", "nobody"}
    return False


def answer(cluster: Embedded, kube: Kube) -> str:
    """What one new connection hears."""
    with contextlib.closing(Talk(cluster, kube)) as conversation:
        return conversation.say()


def test_logs_of_now_and_of_the_run_before(kube: Kube, cluster: Embedded) -> None:
    pod = pods(kube)[0]
    assert kube.kubectl("logs", pod.name) == "ready\n"
    with pytest.raises(Refused, match="previous terminated container"):
        kube.kubectl("logs", pod.name, "--previous")
    with connected(cluster, pod) as crash:
        crash.sendall(b"crash\n")

    def restarted() -> bool:
        status = kube.object(f"pod/{pod.name}").at("status.containerStatuses")[0]
        return bool(status["restartCount"] == 1 and status["ready"])

    polling.until(restarted, "the container to be restarted", seconds=30)
    assert kube.kubectl("logs", pod.name, "--previous") == "ready\nheard crash\n"
    assert kube.kubectl("logs", pod.name, "--tail=1") == "ready\n"
    last = kube.object(f"pod/{pod.name}").at("status.containerStatuses")[0]["lastState"]
    assert last["terminated"]["exitCode"] == 3


def test_followed_logs_show_what_happens(kube: Kube, cluster: Embedded) -> None:
    pod = pods(kube)[0]
    lines = kube.follow(pod.name, seconds=20)
    began, first = next(lines)
    assert first == "ready"
    with connected(cluster, pod) as client:
        client.sendall(b"hello\n")
        heard, second = next(lines)
    assert second == "heard hello"
    assert began < heard


def test_exec_runs_beside_the_server(kube: Kube) -> None:
    pod = pods(kube)[0].name
    told = run(kube, "exec", pod, "--", "sh", "-c", "echo $PORT; pwd; id -u; echo oops >&2; exit 3")
    assert told.stdout.split() == ["7000", "/app", "10001"]
    assert (told.returncode, told.stderr) == (3, "oops\ncommand terminated with exit code 3\n")
    assert run(kube, "exec", "-i", pod, "--", "cat", stdin="hello\n").stdout == "hello\n"


def test_exec_sees_the_containers_processes_and_no_others(kube: Kube) -> None:
    told = kube.kubectl("exec", pods(kube)[0].name, "--", "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '")
    assert told.endswith("/app/server.py ")


def test_top_shows_pods_and_nodes(kube: Kube) -> None:
    def rows() -> list[str]:
        told = run(kube, "top", "pods", "--no-headers")
        return told.stdout.splitlines() if told.returncode == 0 else []

    polling.until(lambda: len(rows()) == 3, "kubectl top to show 3 pods", seconds=30)
    assert all(row.split()[2].endswith("Mi") and row.split()[2] != "0Mi" for row in rows())
    assert len(kube.kubectl("top", "nodes", "--no-headers").splitlines()) == 4


def test_nodes_list_the_images_that_they_have(kube: Kube) -> None:
    def listed() -> bool:
        names = [
            name
            for node in kube.objects("nodes")
            for i in node.at("status.images", [])
            for name in i["names"]
        ]
        return any(name.startswith("registry.lab:5000/echo-server") for name in names)

    polling.until(listed, "the image in a node's status", seconds=20)


def test_new_connections_meet_every_pod_and_an_old_one_its_own(
    kube: Kube, cluster: Embedded, talk: Talk
) -> None:
    first = talk.say()
    met: set[str] = set()

    def everybody() -> bool:
        met.add(answer(cluster, kube))
        return met == {p.name for p in pods(kube)}

    polling.until(everybody, "new connections to meet every pod", seconds=20, every=0.0)
    assert {talk.say() for _ in range(10)} == {first}


def test_a_connection_outlives_its_pods_place_in_the_service(
    kube: Kube, cluster: Embedded, talk: Talk
) -> None:
    mine = talk.say()
    kube.kubectl("delete", "pod", mine, "--wait=false")

    def gone() -> bool:
        return not {mine, "nobody"} & {heard(cluster, kube) for _ in range(20)}

    polling.until(gone, "the pod to leave the Service", seconds=20)
    assert talk.say() == mine  # it ends when we do


def test_a_service_without_pods_refuses(kube: Kube, cluster: Embedded, talk: Talk) -> None:
    kube.scale("deployment/echo", replicas=0)
    talk.close()
    polling.until(lambda: refused(cluster, kube), "the Service to refuse", seconds=30)
    kube.scale("deployment/echo", replicas=1)
    polling.until(lambda: reachable(cluster, kube), "the Service to answer again", seconds=30)


def killed(cluster: Embedded, component: str) -> None:
    """kill -9, and wait until the supervisor has started it anew."""
    record = cluster.layout.record(component)
    before = spawn.Proc.load(record)
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)

    def again() -> bool:
        now = spawn.Proc.load(record)
        return now is not None and now.pid != before.pid and now.alive()

    polling.until(again, f"{component} to run again", seconds=30)


def test_the_balancer_killed_comes_back_at_the_same_place(kube: Kube, cluster: Embedded, talk: Talk) -> None:
    port = talk.port
    killed(cluster, "kube-proxy")
    polling.until(lambda: reachable(cluster, kube), "the Service to answer again", seconds=30)
    with contextlib.closing(Talk(cluster, kube)) as again:
        assert again.port == port


def test_the_agent_killed_breaks_no_connection(kube: Kube, cluster: Embedded, talk: Talk) -> None:
    mine = talk.say()
    killed(cluster, "node-agent")
    assert talk.say() == mine
    polling.until(lambda: run(kube, "logs", mine).returncode == 0, "logs to work again", seconds=30)
    assert kube.kubectl("exec", mine, "--", "echo", "hi") == "hi\n"
    assert {p.at("status.containerStatuses")[0]["restartCount"] for p in pods(kube)} == {0}
