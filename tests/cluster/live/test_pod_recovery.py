"""What a node agent makes of the pods that it finds when it comes back: they can be deleted, and end right.

The agent is stopped, something happens, and it is killed: the next one has to cope with that.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.kube import Kube
from localcluster import polling, spawn
from localcluster.embedded.provider import Embedded
from localcluster.node.life.blueprint import POD_VARIABLE
from tests.cluster.live.test_pods import IMAGE, image, kill_agent, kube, run, shell, until_told

pytestmark = pytest.mark.embedded
__all__ = ["image", "kube"]  # fixtures

SLEEP = shell("sleep 999")


@contextlib.contextmanager
def between_two_agents(cluster: Embedded) -> Iterator[None]:
    """What happens in this block, the agent learns only when it is another one."""
    agent = spawn.Proc.load(cluster.layout.record("node-agent"))
    assert agent is not None
    os.kill(agent.pid, signal.SIGSTOP)
    yield
    kill_agent(cluster)


def folder(cluster: Embedded, kube: Kube, name: str) -> Path:
    return cluster.layout.dir / "pods" / str(kube.object(f"pod/{name}").at("metadata.uid"))


def processes(uid: str) -> list[int]:
    """Of all containers of a pod."""
    mark = f"{POD_VARIABLE}={uid}".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in place.read_bytes().split(b"\0"):
                found.append(int(place.parts[2]))
    return found


def until_gone(kube: Kube, name: str) -> None:
    kube.kubectl("wait", "--for=delete", f"pod/{name}", "--timeout=60s")


def test_a_pod_deleted_in_the_meantime_leaves_no_process(cluster: Embedded, kube: Kube) -> None:
    run(kube, "left", SLEEP)
    kube.until("pod/left ready", seconds=30)
    place = folder(cluster, kube, "left")
    assert processes(place.name)
    with between_two_agents(cluster):
        kube.kubectl("delete", "pod", "left", "--grace-period=1", "--wait=false")
    until_gone(kube, "left")
    assert not processes(place.name)
    polling.until(lambda: not place.exists(), "its folder to go", seconds=30)


def test_a_damaged_record_costs_its_own_container_a_restart(cluster: Embedded, kube: Kube) -> None:
    for name in ("damaged", "beside"):
        run(kube, name, SLEEP)
    kube.until("pod/damaged ready", "pod/beside ready", seconds=30)
    place = folder(cluster, kube, "damaged")
    old = processes(place.name)
    before = kube.object("pod/beside").at("status.containerStatuses.0.containerID")
    with between_two_agents(cluster):
        (place / "main" / "0" / "status").unlink()
        (place / "main" / "0" / "status").mkdir()
    polling.until(
        lambda: kube.object("pod/damaged").at("status.containerStatuses.0.restartCount"), "it", seconds=60
    )
    kube.until("pod/damaged ready", seconds=30)
    assert not set(old) & set(processes(place.name))
    assert kube.object("pod/beside").at("status.containerStatuses.0.containerID") == before


def test_a_pod_may_get_another_address_after_a_crash_of_the_machine(cluster: Embedded, kube: Kube) -> None:
    run(kube, "crashed", SLEEP)
    kube.until("pod/crashed ready", seconds=30)
    place, ip = folder(cluster, kube, "crashed"), kube.object("pod/crashed").at("status.podIP")
    node = kube.object("pod/crashed").at("spec.nodeName")
    with between_two_agents(cluster):
        for pid in processes(place.name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(place)
        run(kube, "first", SLEEP, nodeName=node)  # it may get the old address
    kube.until("pod/first ready", "pod/crashed ready", seconds=60)
    status = kube.object("pod/crashed").raw["status"]
    assert status["podIPs"] == [{"ip": status["podIP"]}]
    assert ip
    assert kube.object("pod/first").at("status.podIP") != status["podIP"]


@pytest.mark.parametrize("policy", ["Never", "OnFailure"])
def test_a_new_image_is_started_whatever_the_restart_policy(kube: Kube, policy: str) -> None:
    stops = shell("trap 'exit 0' TERM; while :; do sleep 0.1; done")
    run(kube, policy.lower(), stops, restartPolicy=policy)
    kube.until(f"pod/{policy.lower()} ready", seconds=30)
    kube.kubectl("set", "image", f"pod/{policy.lower()}", f"main={IMAGE.replace('plain', 'other')}")
    until_told(kube, policy.lower(), "Error: ErrImagePull")
    kube.kubectl("set", "image", f"pod/{policy.lower()}", f"main={IMAGE}")

    def restarted() -> bool:
        found = kube.object(f"pod/{policy.lower()}").at("status.containerStatuses.0")
        return bool(found["restartCount"] == 1 and "running" in found["state"])

    polling.until(restarted, "the new image to run", seconds=60)
