"""The way into a lab: doors that keep their port, sockets that keep their network, and how both fail."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from localcluster import polling
from localcluster.netns import doors
from localcluster.netns.plan import GATEWAY
from tests.cluster.unit.netns_world import REFUSED, Lab, ended, lab, usable

pytestmark = pytest.mark.skipif(not usable(), reason=REFUSED)
WEB, NOBODY, NOWHERE = f"{GATEWAY}:80", f"{GATEWAY}:81", "192.0.2.7:80"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Lab]:
    """A lab with an edge and a server."""
    with lab(tmp_path / "lab") as made:
        made.hold()
        made.edge()
        made.serve("web", *_split(WEB))
        yield made


def _split(target: str) -> tuple[str, int]:
    host, port = doors.split(target)
    return host, port


def dialled(door: str) -> socket.socket:
    return socket.create_connection(_split(door), timeout=20)


def said(sock: socket.socket, text: bytes = b"") -> bytes:
    """What a server answers to this."""
    with sock:
        sock.settimeout(20)
        sock.sendall(text)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_a_door_leads_to_a_server_in_the_lab_and_stays_where_it_is(opened: Lab) -> None:
    door = doors.door(opened.dir, WEB)
    assert door.startswith("127.0.0.1:")
    assert said(dialled(door), b"hello") == b"web hello"
    assert doors.door(opened.dir, WEB) == door != doors.door(opened.dir, NOBODY)
    assert doors.known(opened.dir)[WEB] == _split(door)[1]


def test_a_large_body_passes_whole(opened: Lab) -> None:
    body = random.Random(1).randbytes(3_000_000)
    assert said(dialled(doors.door(opened.dir, WEB)), body) == b"web " + body


@pytest.mark.parametrize("target", [NOBODY, NOWHERE])
def test_a_target_that_refuses_gives_the_client_a_reset(opened: Lab, target: str) -> None:
    door = doors.door(opened.dir, target)
    with pytest.raises(ConnectionResetError), dialled(door) as client:
        client.recv(1)
    opened.serve("late", *_split(NOBODY))
    assert said(dialled(doors.door(opened.dir, NOBODY))) == b"late "


@pytest.mark.parametrize("which", ["outer", "inner"])
def test_after_the_edge_was_killed_the_doors_are_where_they_were(opened: Lab, which: str) -> None:
    door = doors.door(opened.dir, WEB)
    outer = opened.children["edge"]
    (inner,) = psutil.Process(outer.pid).children()
    os.kill(inner.pid if which == "inner" else outer.pid, signal.SIGKILL)
    outer.wait(20)
    polling.until(lambda: ended(inner.pid), "both processes to end", seconds=20)
    polling.until(lambda: not _listens(door), "the door to be shut", seconds=20)
    opened.edge()
    assert said(dialled(door)) == b"web "
    assert doors.door(opened.dir, WEB) == door


def test_a_door_whose_port_was_taken_in_the_meantime_gets_another(opened: Lab) -> None:
    taken, other = doors.door(opened.dir, WEB), doors.door(opened.dir, NOBODY)
    opened.kill("edge")
    polling.until(lambda: not _listens(taken), "the port to be free", seconds=20)
    with socket.create_server(_split(taken)):
        opened.edge()
        assert f"{taken} is no longer the door to {WEB}: Address already in use" in opened.log("edge")
        fresh = doors.door(opened.dir, WEB)
        assert fresh != taken
        assert said(dialled(fresh)) == b"web "
    assert doors.door(opened.dir, NOBODY) == other


def _listens(door: str) -> bool:
    with contextlib.suppress(ConnectionRefusedError):
        dialled(door).close()
        return True
    return False


def test_a_connected_socket_needs_no_door_and_outlives_the_edge(opened: Lab) -> None:
    inside = opened.dir / doors.INSIDE
    sock = doors.connected(inside, WEB)
    assert not sock.get_inheritable()
    opened.kill("edge")
    assert said(sock, b"still") == b"web still"
    with pytest.raises(ConnectionError):
        doors.connected(inside, WEB)


def test_a_connected_socket_is_refused_with_the_kernels_reason(opened: Lab) -> None:
    for target, reason in ((NOBODY, "refused"), (NOWHERE, "unreachable")):
        with pytest.raises(ConnectionError, match=reason):
            doors.connected(opened.dir / doors.INSIDE, target)


def _fetched(folder: Path, address: tuple[str, int], *, outward: bool) -> bytes:
    with doors.outward(folder, socket.AF_INET) if outward else socket.socket() as sock:
        sock.settimeout(20)
        sock.connect(address)
        return sock.recv(100)


def test_an_outward_socket_leads_to_this_machines_network(opened: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, opened.worker() as inside:
        address = server.getsockname()
        with pytest.raises(ConnectionRefusedError):
            inside.call(_fetched, opened.dir, address, outward=False)
        future = inside.submit(_fetched, opened.dir, address, outward=True)
        client, _ = server.accept()
        with client:
            client.sendall(b"from outside")
        assert future.result(20) == b"from outside"


def test_names_are_resolved_as_this_machine_does(opened: Lab) -> None:
    assert (socket.AF_INET, "127.0.0.1") in doors.resolved(opened.dir, "localhost", 80)
    with pytest.raises(ConnectionError, match=r"[Nn]ame|resolution"):
        doors.resolved(opened.dir, "no-such-host.invalid", 80)


@pytest.mark.parametrize("name", [doors.OUTSIDE, doors.INSIDE])
@pytest.mark.parametrize(
    "sent",
    [
        b"{",
        b"\xff\xfe",
        b"[]",
        b"7",
        b"{}",
        b'{"door": "10.244.1.2"}',
        b'{"door": "web:80", "connect": "web:80"}',
        b'{"door": "10.244.1.2:0", "connect": "10.244.1.2:0"}',
        b'{"door": "10.244.1.2:65536", "connect": "10.244.1.2:65536"}',
        b'{"door": 7, "connect": 7}',
        b'{"socket": null, "connect": null}',
        b'{"socket": 4711, "connect": []}',
        b'{"resolve": {}, "port": "x"}',
        json.dumps({"door": "x" * 9000}).encode(),
        b"",
    ],
)
def test_a_malformed_request_is_refused_by_an_edge_that_lives_on(shared: Lab, name: str, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(20)
        sock.connect(str(shared.dir / name))
        sock.send(sent)
        if sent:
            assert json.loads(sock.recv(65536))["error"]
    door = doors.door(shared.dir, WEB)
    assert said(dialled(door)) == b"web "
    assert said(doors.connected(shared.dir / doors.INSIDE, WEB)) == b"web "
    assert shared.children["edge"].poll() is None


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab for those that leave it as it was."""
    with lab(tmp_path_factory.mktemp("lab") / "lab") as made:
        made.hold()
        made.edge()
        made.serve("web", *_split(WEB))
        yield made


def test_clients_that_take_all_descriptors_do_not_shut_the_door_for_good(tmp_path: Path) -> None:
    with lab(tmp_path / "lab") as made:
        made.hold()
        made.edge("/bin/sh", "-c", 'ulimit -n 64 && exec "$@"', "sh")
        made.serve("web", *_split(WEB))
        door = doors.door(made.dir, WEB)
        clients = [dialled(door) for _ in range(80)]
        polling.until(lambda: "Too many open files" in made.log("edge"), "the edge to say so", seconds=20)
        for client in clients:
            client.close()
        assert said(dialled(door)) == b"web "


def test_a_lab_in_a_folder_with_a_long_name(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 100) / ("b" * 100)
    assert len(str(folder)) > 108  # more than the address of a Unix socket holds
    with lab(folder) as made:
        made.hold()
        made.edge()
        made.serve("web", *_split(WEB))
        assert said(dialled(doors.door(folder, WEB))) == b"web "
        assert said(doors.connected(folder / doors.INSIDE, WEB)) == b"web "


def test_only_its_user_can_ask_the_edge(shared: Lab) -> None:
    assert {(shared.dir / name).stat().st_mode & 0o777 for name in (doors.INSIDE, doors.OUTSIDE)} == {0o600}


def test_without_an_edge_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        doors.door(tmp_path, WEB)
