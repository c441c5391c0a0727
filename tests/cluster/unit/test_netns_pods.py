"""Pods' networks: who reaches whom, how long they live, and what an agent that starts again finds."""

from __future__ import annotations

import ast
import asyncio
import math
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import localcluster
from localcluster import polling, spawn
from localcluster.netns import furnish
from localcluster.netns.plan import GATEWAY
from localcluster.netns.pods import PodNetworks
from localcluster.toolchain.locate import bwrap
from tests.cluster.unit.netns_world import REFUSED, Fresh, descriptors, lab, network, network_of, usable

pytestmark = pytest.mark.skipif(not usable(), reason=REFUSED)
ONE, OTHER = "10.244.1.2", "10.244.2.2"
SLEEP = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]


@pytest.fixture(scope="module")
def fresh() -> Iterator[Fresh]:
    with Fresh() as worker:
        yield worker


def two() -> PodNetworks:
    """Two pods, in a lab whose network is new."""
    furnish.links(furnish.OWN)
    networks = PodNetworks()
    networks.make("one", ONE)
    networks.make("other", OTHER)
    return networks


def listening(networks: PodNetworks, uid: str, ip: str = "0.0.0.0", port: int = 80) -> socket.socket:  # noqa: S104
    with networks.inside(uid):
        return socket.create_server((ip, port))


def met(networks: PodNetworks, uid: str, server: socket.socket, ip: str, port: int = 80) -> tuple[str, str]:
    """Connect from the pod; the addresses of the client as the server sees it, and of the server."""
    with networks.inside(uid), socket.create_connection((ip, port), timeout=5) as client:
        there, (source, _) = server.accept()
        there.close()
        return source, client.getpeername()[0]


def _paths() -> list[tuple[str, str]]:
    networks = two()
    with listening(networks, "one") as one, socket.create_server((GATEWAY, 80)) as here:
        return [
            met(networks, "other", one, ONE),
            met(networks, "one", one, ONE),
            met(networks, "one", one, "127.0.0.1"),
            met(networks, "other", here, GATEWAY),
            met(networks, "on the node", one, ONE),
        ]


def test_pods_and_the_lab_reach_each_other_and_see_real_addresses(fresh: Fresh) -> None:
    assert fresh.call(_paths) == [
        (OTHER, ONE),
        (ONE, ONE),
        ("127.0.0.1", "127.0.0.1"),
        (OTHER, GATEWAY),
        (GATEWAY, ONE),
    ]


def _apart() -> list[str]:
    networks, said = two(), []
    with listening(networks, "one", "127.0.0.1"), listening(networks, "other"):  # the same port
        for ip in (ONE, "192.0.2.7"):
            with networks.inside("other"), socket.socket() as sock:
                sock.settimeout(10)
                try:
                    sock.connect((ip, 80))
                except OSError as error:
                    said.append(str(error.strerror or error))
    return said


def test_they_reach_each_other_where_proc_sys_is_read_only_and_nothing_is_forwarded() -> None:
    own = [str(bwrap()), "--dev-bind", "/", "/", "--unshare-user", "--unshare-net", "--uid", "0"]
    shut = f"{bwrap()} --dev-bind / / --ro-bind /proc/sys /proc/sys"
    shell = f'echo 0 > /proc/sys/net/ipv4/ip_forward && exec {shut} -- "$@"'
    script = "from pathlib import Path; from tests.cluster.unit.test_netns_pods import _paths; "
    script += "print(Path('/proc/sys/net/ipv4/ip_forward').read_text().strip(), _paths()[0])"
    python = [sys.executable, "-c", script]
    done = spawn.run([*own, "--cap-add", "ALL", "--", "/bin/sh", "-c", shell, "-", *python])
    assert done.stdout.split("\n")[0] == f"0 {(OTHER, ONE)}", done.stderr


def test_a_pods_loopback_is_its_own_and_nothing_leads_out(fresh: Fresh) -> None:
    assert fresh.call(_apart) == ["Connection refused", "Network is unreachable"]


def links() -> list[str]:
    return [name for name in psutil.net_if_addrs() if name.startswith("veth")]


def _lives() -> list[bool]:
    networks = two()
    networks.make("one", ONE)  # nothing happens
    seen = [len(links()) == 2]
    with networks.inside("one"):
        process = spawn.popen(SLEEP)
    networks.drop("one")
    networks.drop("one")
    seen += [len(links()) == 2, networks.adopt("one", process.pid)]
    with listening(networks, "one") as server:
        seen.append(met(networks, "other", server, ONE) == (OTHER, ONE))
    process.kill()
    process.wait()
    networks.drop("one")
    networks.make("one", ONE)  # at once: the old link may still be there
    polling.until(lambda: len(links()) == 2, "the old link to go", seconds=30)
    with listening(networks, "one") as server:
        seen.append(met(networks, "other", server, ONE) == (OTHER, ONE))
    return seen


def test_a_network_lives_as_long_as_a_process_in_it_and_its_address_can_come_again(fresh: Fresh) -> None:
    assert fresh.call(_lives) == [True] * 5


def _adopted(stranger: int) -> tuple[list[bool], int]:
    networks, again = two(), PodNetworks()
    with networks.inside("one"):
        process = spawn.popen(SLEEP)
    before, gone = descriptors(), psutil.pids()[-1] + 70_000
    found = [again.adopt("one", pid) for pid in (process.pid, process.pid, stranger, gone)]
    with again.inside("one"):
        found.append(network() == network_of(process.pid))
    process.kill()
    process.wait()
    return [*found, again.adopt("one", process.pid)], descriptors() - before


def test_an_agent_that_starts_again_adopts_the_networks_of_its_own_lab_only(
    fresh: Fresh, tmp_path: Path
) -> None:
    with lab(tmp_path / "other lab") as another:
        stranger = another.hold()
        of_itself, kept = fresh.call(_adopted, stranger)
        assert (of_itself, kept) == ([True, True, False, False, True, False], 1)
        assert fresh.call(_adopted, os.getpid())[0] == of_itself  # this machine's own network


async def _awaiting(pause: Callable[[], asyncio.Future[None]]) -> str:
    networks = two()
    try:
        with networks.inside("one"):
            await pause()
    except RuntimeError as error:
        return str(error)
    return "nothing was said"


def _ready() -> asyncio.Future[None]:
    done = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


def _pause() -> asyncio.Future[None]:
    return asyncio.ensure_future(asyncio.sleep(0))


def _awaited(pause: Callable[[], asyncio.Future[None]]) -> tuple[str, bool]:
    before = network()
    return asyncio.run(_awaiting(pause)), network() == before


def test_a_task_switch_in_a_pods_network_is_an_error(fresh: Fresh) -> None:
    said, back = fresh.call(_awaited, _pause)
    assert "something was awaited" in said
    assert back
    assert fresh.call(_awaited, _ready) == ("nothing was said", True)  # no other task could run


def _raises() -> tuple[str, bool]:
    networks, before = two(), network()
    try:
        with networks.inside("one"):
            raise ValueError("as it was")  # noqa: TRY301
    except ValueError as error:
        return str(error), network() == before


def test_an_error_leaves_the_pods_network(fresh: Fresh) -> None:
    assert fresh.call(_raises) == ("as it was", True)


def _blocks(tree: ast.Module) -> Iterator[ast.With]:
    """Each `with ….inside(…)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.With) and any("inside(" in ast.unparse(item) for item in node.items):
            yield node


def test_no_block_in_a_pods_network_awaits() -> None:
    found = []
    for path in Path(localcluster.__file__).parent.rglob("*.py"):
        for block in _blocks(ast.parse(path.read_text())):
            found.append(path.name)
            for node in ast.walk(block):
                assert not isinstance(node, ast.Await | ast.AsyncWith | ast.AsyncFor), f"{path}:{node.lineno}"
    assert {"container.py", "port_forward.py"} <= set(found)


def _hundred() -> tuple[list[float], int]:
    furnish.links(furnish.OWN)
    networks, took = PodNetworks(), []
    for number in range(100):
        began = time.perf_counter()
        networks.make(str(number), f"10.244.{1 + number // 50}.{2 + number % 50}")
        took.append(time.perf_counter() - began)
    reached = 0
    for number in range(0, 100, 7):
        ip = f"10.244.{1 + number // 50}.{2 + number % 50}"
        with listening(networks, str(number)) as server:
            reached += met(networks, "99", server, ip) == ("10.244.2.51", ip)
    return took, reached


def test_a_hundred_pods(fresh: Fresh, record_property: Callable[[str, object], None]) -> None:
    took, reached = fresh.call(_hundred)
    assert reached == math.ceil(100 / 7)
    milliseconds = [1000 * each for each in sorted(took)]
    record_property("median_ms", milliseconds[49])
    record_property("p99_ms", milliseconds[98])
    print(f"a pod's network: median {milliseconds[49]:.1f} ms, p99 {milliseconds[98]:.1f} ms")  # noqa: T201
