"""What `labkit up` and `down` promise: one lab, whatever happens to it, and nothing left over."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from labkit.errors import BadInput, ComponentError, ProviderError
from localcluster import polling, spawn
from localcluster.api.client import Api
from localcluster.embedded import admin
from localcluster.embedded.provider import Embedded
from localcluster.layout import Layout, prepare
from localcluster.node.network.ports import is_free
from localcluster.provider import Spec
from tests.clusters import running

LABKIT = (sys.executable, "-m", "labkit.cli")


def left_over(layout: Layout) -> list[spawn.Proc]:
    return spawn.marked(layout.dir)


def pid_of(lab: Embedded, component: str) -> int:
    proc = spawn.Proc.load(lab.layout.record(component))
    assert proc is not None
    return proc.pid


def config_map(lab: Embedded) -> str:
    """An object that shows whether the cluster's memory survived."""
    admin.apply(Api(lab.kubeconfig()), ["apiVersion: v1\nkind: Namespace\nmetadata: {name: kept}"])
    return "/api/v1/namespaces/kept"


@pytest.fixture(scope="module")
def lab(own_home: Path) -> Iterator[Embedded]:
    """A lab for tests that hurt it."""
    with running(Spec(name="hurt", gpu_nodes=1, cpu_nodes=0)) as started:
        yield started


def test_on_this_machine_only_the_edge_listens_and_on_the_loopback_only(lab: Embedded) -> None:
    here = Path("/proc/self/ns/net").stat().st_ino
    pids = {proc.pid for proc in left_over(lab.layout)}
    outside = {pid for pid in pids if Path(f"/proc/{pid}/ns/net").stat().st_ino == here}
    made = pid_of(lab, "network")  # bubblewrap, which waits for the process that holds the namespace
    assert outside - {made} == {pid_of(lab, "supervisor"), pid_of(lab, "edge")}
    doors = [c for c in psutil.net_connections() if c.pid in pids and c.status == psutil.CONN_LISTEN]
    addresses = {tuple(door.laddr) for door in doors}
    assert {ip for ip, _ in addresses} == {"127.0.0.1"}
    ports = lab.layout.load()[1]
    assert {port for _, port in addresses} >= {ports.api, ports.registry, ports.prometheus}
    (inner,) = psutil.Process(pid_of(lab, "edge")).children()
    assert {door.pid for door in doors} == {inner.pid}


def test_secrets_are_readable_by_their_owner_only(lab: Embedded) -> None:
    assert lab.layout.dir.stat().st_mode & 0o077 == 0
    secret = [*lab.layout.dir.rglob("*.key"), lab.layout.kubeconfig, lab.layout.dir / "registry" / "password"]
    assert len(secret) > 10
    assert all(path.stat().st_mode & 0o077 == 0 for path in secret)


def test_a_second_up_finds_the_first(lab: Embedded) -> None:
    before = pid_of(lab, "kube-apiserver")
    said: list[str] = []
    lab.up(lab.spec(), said.append)
    assert said == ["lab 'hurt' is already up"]
    assert pid_of(lab, "kube-apiserver") == before


def test_a_second_up_with_other_settings_is_refused(lab: Embedded) -> None:
    with pytest.raises(ProviderError, match="other settings"):
        lab.up(Spec(name="hurt", gpu_nodes=2))


def test_two_labs_run_side_by_side(lab: Embedded) -> None:
    with running(Spec(name="beside", gpu_nodes=0, cpu_nodes=0)) as other:
        mine, theirs = lab.layout.load()[1], other.layout.load()[1]
        assert not set(vars(mine).values()) & set(vars(theirs).values())
        assert lab.running()
        assert other.running()
    assert lab.running()
    assert left_over(other.layout) == []


COMPONENTS = (
    "network",
    "edge",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "registry",
    "node-agent",
    "kube-proxy",
    "coredns",
    "prometheus",
    "prometheus-adapter",
)


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_that_is_killed_comes_back(lab: Embedded, component: str) -> None:
    before = pid_of(lab, component)
    os.kill(before, signal.SIGKILL)
    polling.until(lambda: pid_of(lab, component) != before, f"{component} to start again", seconds=30)
    polling.until(lab.running, "the lab to be whole again", seconds=60)
    now = psutil.Process(pid_of(lab, component))
    own = {now.pid, *(child.pid for child in now.children())}
    same = {proc.pid for proc in left_over(lab.layout) if list(proc.argv) == now.cmdline()}
    assert now.pid in same <= own


def test_up_brings_back_a_killed_supervisor_and_keeps_the_rest(lab: Embedded) -> None:
    kept = {name: pid_of(lab, name) for name in COMPONENTS}
    os.kill(pid_of(lab, "supervisor"), signal.SIGKILL)
    polling.until(lambda: not lab.running(), "the lab to notice", seconds=10)
    lab.up(lab.spec())
    assert lab.running()
    assert {name: pid_of(lab, name) for name in COMPONENTS} == kept


def test_up_after_everything_was_killed_brings_the_same_lab_back(lab: Embedded) -> None:
    path = config_map(lab)
    for proc in left_over(lab.layout):
        os.kill(proc.pid, signal.SIGKILL)
    polling.until(lambda: not left_over(lab.layout), "everything to be gone", seconds=10)
    lab.up(lab.spec())
    assert Api(lab.kubeconfig()).get(path)


def test_a_port_that_somebody_took_meanwhile_is_given_up_for_another(lab: Embedded) -> None:
    path = config_map(lab)
    before = lab.layout.load()[1]
    for proc in left_over(lab.layout):
        os.kill(proc.pid, signal.SIGKILL)
    polling.until(lambda: is_free(before.api), "the port to be free", seconds=10)
    with socket.create_server(("127.0.0.1", before.api)):
        lab.up(lab.spec())
    assert lab.layout.load()[1].api != before.api
    assert Api(lab.kubeconfig()).get(path)


STEPS = ("", "etcd is ready", "kube-apiserver is ready", "nodes are Ready", "prometheus is ready")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
@pytest.mark.parametrize("step", STEPS, ids=lambda s: s or "at once")
def test_an_up_that_is_stopped_midway_leaves_no_process(own_home: Path, step: str, number: int) -> None:
    layout = Layout.of("midway")
    up = spawn.piped([*LABKIT, "up", "--name", "midway", "--gpu-nodes", "1", "--cpu-nodes", "0"])
    assert up.stderr is not None
    if step:
        assert any(step in line for line in up.stderr)
    else:
        polling.until(layout.record("supervisor").exists, "the supervisor", seconds=20, every=0.01)
    os.kill(up.pid, number)
    up.wait()
    up.stderr.close()
    assert up.stdout is not None
    up.stdout.close()
    polling.until(lambda: not left_over(layout), "everything to be gone", seconds=20)
    Embedded("midway").down()
    assert [path.name for path in layout.dir.iterdir()] == ["logs"]


def test_down_leaves_only_logs_and_may_be_repeated(own_home: Path) -> None:
    with running(Spec(name="short", gpu_nodes=0, cpu_nodes=0)) as lab:
        assert lab.running()
    assert left_over(lab.layout) == []
    assert [path.name for path in lab.layout.dir.iterdir()] == ["logs"]
    lab.down()


def test_a_supervisor_that_dies_during_up_is_reported_with_its_log(own_home: Path) -> None:
    lab = Embedded("doomed")

    def kill(line: str) -> None:
        if "etcd is ready" in line:
            os.kill(pid_of(lab, "supervisor"), signal.SIGKILL)

    with pytest.raises(ComponentError, match="supervisor ended"):
        lab.up(Spec(name="doomed", gpu_nodes=0, cpu_nodes=0), kill)
    assert left_over(lab.layout) == []


def test_up_works_behind_a_proxy(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with running(Spec(name="proxied", gpu_nodes=1, cpu_nodes=0)) as lab:
        assert lab.running()


def test_no_free_disk_is_said_before_anything_is_made(own_home: Path) -> None:
    with pytest.raises(ProviderError, match="MiB are free") as caught:
        prepare(Layout.of("full"), needed_mib=10**9)
    assert "LABKIT_HOME" in caught.value.fix


def test_a_lab_needs_a_name_that_can_be_one() -> None:
    with pytest.raises(BadInput, match="is not a valid name"):
        Layout.of("../etc")
