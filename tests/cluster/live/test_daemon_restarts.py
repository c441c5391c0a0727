"""Upstream's `DaemonRestart` and `Etcd failure`, by their names: kill -9 where those restart a service.

A ReplicationController with pods on two nodes is watched all the time: what happens to its pods is what the
watch saw, not what is left at the end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from labkit import pull_secret, reset
from labkit.errors import ClusterError
from labkit.kube import Kube
from localcluster import polling
from localcluster.embedded.provider import Embedded
from localcluster.provider import Spec
from tests.cluster.live.test_network import IDLE, apply, pod_spec
from tests.cluster.live.test_up_and_down import pid_of
from tests.clusters import push, running

pytestmark = pytest.mark.embedded

PODS, SECONDS = 8, 120.0
RC = "daemonrestart"


@pytest.fixture(scope="module")
def lab(own_home: Path) -> Iterator[Embedded]:
    with running(Spec(name="restarts", gpu_nodes=0, cpu_nodes=2)) as started:
        push(started, "queue_server")
        yield started


@pytest.fixture(scope="module")
def kube(lab: Embedded) -> Kube:
    made = Kube(lab.kubeconfig(), namespace="restarts", clock=lab.spec().clock)
    made.ensure_namespace()
    pull_secret.make(made, lab.registry(), name=reset.PULL_SECRET)
    labels = {"name": RC}
    spec = {
        "replicas": PODS,
        "selector": labels,
        "template": {"metadata": {"labels": labels}, "spec": pod_spec(IDLE)},
    }
    apply(made, {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": RC}, "spec": spec})
    made.until(f"pods name={RC} ready={PODS}", seconds=SECONDS)
    return made


class Watched:
    """Which pods came and went, as a watch from the start saw it."""

    def __init__(self, kube: Kube) -> None:
        self._kube, self._over = kube, threading.Event()
        self.came: set[str] = set()
        self.went: set[str] = set()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self.there = {pod.at("metadata.uid") for pod in self._kube.objects("pods")}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(ClusterError):  # the API server was killed: watch again
                for change in self._kube.watch("pods", seconds=1):
                    uid = change.obj.at("metadata.uid")
                    if change.type == "DELETED" or change.obj.at("metadata.deletionTimestamp"):
                        self.went.add(uid)
                    elif uid not in self.there:
                        self.came.add(uid)


def kill(lab: Embedded, component: str) -> None:
    """SIGKILL; returns when another process has taken its place and the lab is whole."""
    before = pid_of(lab, component)
    os.kill(before, signal.SIGKILL)
    polling.until(lambda: pid_of(lab, component) != before, f"{component} to start again", seconds=SECONDS)
    polling.until(lab.running, "the lab to be whole again", seconds=SECONDS)


def scaled(kube: Kube, replicas: int) -> None:
    """Whoever was killed does its work again: all pods of the new number run."""
    kube.scale(f"replicationcontroller/{RC}", replicas=replicas)
    kube.until(f"pods name={RC} total={replicas}", f"pods name={RC} ready={replicas}", seconds=SECONDS)


def containers(kube: Kube) -> dict[str, tuple[Any, ...]]:
    """The run of each pod's container, by the pod's name."""
    found = {}
    for pod in kube.objects("pods"):
        (status,) = pod.at("status.containerStatuses")
        found[pod.name] = (status["containerID"], status["restartCount"])
    return found


def test_controller_manager_should_not_create_or_delete_replicas_across_restart(
    lab: Embedded, kube: Kube
) -> None:
    with Watched(kube) as seen:
        kill(lab, "kube-controller-manager")
        # It works again, and has looked at this controller, once it follows a change of its own template.
        kube.patch(f"replicationcontroller/{RC}", {"spec": {"minReadySeconds": 1}})
        observed = "status.observedGeneration", "metadata.generation"
        polling.until(
            lambda: len({kube.object(f"replicationcontroller/{RC}").at(field) for field in observed}) == 1,
            "the change to be seen by the controller",
            seconds=SECONDS,
        )
    assert (seen.came, seen.went) == (set(), set())


def test_scheduler_should_continue_assigning_pods_to_nodes_across_restart(lab: Embedded, kube: Kube) -> None:
    kill(lab, "kube-scheduler")
    scaled(kube, PODS + 2)
    nodes = {pod.at("spec.nodeName") for pod in kube.objects("pods")}
    assert nodes == {node.name for node in kube.objects("nodes")}
    scaled(kube, PODS)


def test_kubelet_should_not_restart_containers_across_restart(lab: Embedded, kube: Kube) -> None:
    before = containers(kube)
    with Watched(kube) as seen:
        kill(lab, "node-agent")
        scaled(kube, PODS + 1)
    after = containers(kube)
    assert {name: after[name] for name in before} == before
    assert (len(seen.came), seen.went) == (1, set())
    scaled(kube, PODS)


def stopped(lab: Embedded) -> None:
    """As long as a partition: etcd answers nobody, until the API server has given a request up."""
    pid = pid_of(lab, "etcd")
    os.kill(pid, signal.SIGSTOP)
    try:
        polling.until(lambda: not lab.running(), "the API server to miss its etcd", seconds=SECONDS)
    finally:
        os.kill(pid, signal.SIGCONT)
    polling.until(lab.running, "the lab to be whole again", seconds=SECONDS)


def killed(lab: Embedded) -> None:
    kill(lab, "etcd")


@pytest.mark.parametrize(
    "fail",
    [stopped, killed],
    ids=["should recover from network partition with master", "should recover from SIGKILL"],
)
def test_etcd_failure(lab: Embedded, kube: Kube, fail: Callable[[Embedded], None]) -> None:
    before = {pod.at("metadata.uid") for pod in kube.objects("pods")}
    fail(lab)
    # The controller still does its work: all pods are deleted, and as many others come.
    kube.kubectl("delete", "pods", "--selector", f"name={RC}", "--wait=false")
    polling.until(
        lambda: not before & {pod.at("metadata.uid") for pod in kube.objects("pods")},
        "the old pods to be gone",
        seconds=SECONDS,
    )
    kube.until(f"pods name={RC} total={PODS}", f"pods name={RC} ready={PODS}", seconds=SECONDS)
