"""The process that holds a lab's network, and the program that enters it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from localcluster import spawn
from localcluster.netns import enter, furnish, holder
from localcluster.netns.plan import COREDNS, GATEWAY
from localcluster.netns.rtnl import Netlink
from tests.cluster.unit.netns_world import REFUSED, Lab, lab, network_of, usable

pytestmark = pytest.mark.skipif(not usable(), reason=REFUSED)
MARK = "10.9.9.9"
SLEEP = (sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)")


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path / "lab") as made:
        made.hold()
        yield made


def _links() -> dict[str, list[str]]:
    return {
        name: [a.address for a in found if a.family.name == "AF_INET"]
        for name, found in psutil.net_if_addrs().items()
    }


def _marked() -> dict[str, list[str]]:
    """Mark this network: the kernel gives the number of one that ended to the next."""
    with Netlink() as net:
        net.address("lo", MARK)
    return _links()


@pytest.mark.parametrize(
    ("services", "links"),
    [
        (furnish.OWN, {"lo": ["127.0.0.1", GATEWAY, COREDNS]}),
        (furnish.FORWARD, {"lo": ["127.0.0.1", GATEWAY, COREDNS], "svc0": [], "svc1": []}),
    ],
)
def test_a_lab_gets_a_network_of_its_own(tmp_path: Path, services: str, links: dict[str, list[str]]) -> None:
    with lab(tmp_path / "lab", services) as made:
        pid = made.hold()
        assert holder.pid_of(made.dir) == pid
        assert network_of(pid) != network_of(os.getpid())
        with made.worker() as inside:
            assert inside.call(_links) == links


def test_when_it_was_killed_the_next_one_joins_the_others(held: Lab) -> None:
    with held.worker() as inside:
        before = inside.call(_marked)
    held.start_inside("agent", *SLEEP)
    held.kill(holder.COMPONENT)
    with pytest.raises(ProcessLookupError, match="not held by any process"):
        holder.pid_of(held.dir)
    held.hold()
    with held.worker() as inside:
        assert inside.call(_links) == before


def test_it_also_finds_them_by_the_edges_process_in_the_lab(held: Lab) -> None:
    with held.worker() as inside:
        before = inside.call(_marked)
    held.edge()
    held.kill(holder.COMPONENT)
    held.hold()
    with held.worker() as inside:
        assert inside.call(_links) == before


def test_when_nothing_is_left_there_is_a_new_network(held: Lab) -> None:
    with held.worker() as inside:
        assert MARK in inside.call(_marked)["lo"]
    held.start_inside("agent", *SLEEP)
    held.start("outside", SLEEP)
    held.kill(holder.COMPONENT)
    held.kill("agent")
    assert network_of(held.hold()) != network_of(os.getpid())
    with held.worker() as inside:
        assert inside.call(_links)["lo"] == ["127.0.0.1", GATEWAY, COREDNS]


def test_two_labs_do_not_meet(held: Lab, tmp_path: Path) -> None:
    with lab(tmp_path / "other") as other:
        assert network_of(other.hold()) != network_of(holder.pid_of(held.dir))
        held.serve("web", GATEWAY, 80)
        other.serve("web", GATEWAY, 80)  # the same address and port


def entered(pid: int, *words: str) -> spawn.Finished:
    return spawn.run([*enter.command(pid), *words], env={"PATH": os.environ["PATH"]})


def test_a_command_enters_and_is_root_of_the_lab_alone(held: Lab, tmp_path: Path) -> None:
    pid = holder.pid_of(held.dir)
    done = entered(pid, "sh", "-c", "readlink /proc/self/ns/net; id -u; touch mine; exit 3")
    Path("mine").unlink()
    assert done.stdout.split() == [f"net:[{network_of(pid)}]", "0"]
    assert (done.returncode, done.stderr) == (3, "")


@pytest.mark.parametrize("command", ["no-such-command", "/etc/hostname"])
def test_a_command_that_can_not_be_started_is_named(held: Lab, command: str) -> None:
    done = entered(holder.pid_of(held.dir), command)
    assert done.returncode == 127
    assert done.stderr.startswith(f"{command} can't be started in the lab's network: [Errno")


def test_a_process_that_is_gone_can_not_be_joined(held: Lab) -> None:
    pid = holder.pid_of(held.dir)
    held.kill(holder.COMPONENT)
    done = entered(pid, "true")
    assert done.returncode == 127
    assert "true can't be started in the lab's network: [Errno 2]" in done.stderr
