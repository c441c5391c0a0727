"""A server's name may have several addresses: the first that answers is taken, and each of them is judged."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from labkit.errors import BadInput, LoadError
from labkit.load import Closed, Load, address
from labkit.load.sse import Answer, Client, Target
from labkit.load.target import look
from labkit.load.workload import Prompts
from tests.labkit.unit.load_target import FaultyServer, free_port

NOBODY = "127.0.0.2"
"""This machine too, but the servers of these tests listen on 127.0.0.1 only."""

Names = Callable[..., None]


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with FaultyServer().running() as running:
        yield running


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Let a name lead to these addresses, as a machine's resolver would."""

    def lead(*addresses: str) -> None:
        def found(_: str, port: int, *__: object, **___: object) -> list[object]:
            return [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (one, port, 0, 0))
                if ":" in one
                else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
                for one in addresses
            ]

        monkeypatch.setattr(socket, "getaddrinfo", found)

    return lead


def ask(url: str) -> Answer:
    answer = Answer()
    Client(Target(url)).ask(Prompts("model", seed=0).body(1, tokens_in=7, tokens_out=2), answer, seconds=10)
    return answer


@pytest.mark.parametrize("first", ["::1", NOBODY])
def test_the_next_address_is_tried(server: FaultyServer, names: Names, first: str) -> None:
    names(first, "127.0.0.1")
    url = server.url("whole").replace("127.0.0.1", "localhost")
    assert ask(url).outcome == "ok"
    assert look(Load(url=url, shape=Closed(users=1, seconds=1))) == "model"


def test_the_address_that_answered_comes_first_from_then_on(server: FaultyServer, names: Names) -> None:
    names(NOBODY, "127.0.0.1")
    addresses = address.resolve(f"http://box:{server.port}", allow_remote=False)
    for _ in range(2):
        address.connect(addresses).close()
        assert str(addresses[0]) == f"127.0.0.1:{server.port}"


def test_all_addresses_are_named_where_none_answers(names: Names) -> None:
    names("::1", NOBODY, "127.0.0.1")
    port = free_port()
    answer = ask(f"http://localhost:{port}")
    assert answer.outcome == "refused"
    assert all(f"{one}:{port}" in answer.detail for one in ("[::1]", NOBODY, "127.0.0.1"))
    with pytest.raises(LoadError) as caught:
        look(Load(url=f"http://localhost:{port}", shape=Closed(users=1, seconds=1)))
    assert f"tried: [::1]:{port}, {NOBODY}:{port}, 127.0.0.1:{port}" in caught.value.what


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1", "10.0.0.1"),
        ("::1", "2001:db8::1"),
        ("10.0.0.1", "127.0.0.1"),
        ("::ffff:10.0.0.1",),
        ("0.0.0.0",),  # noqa: S104
        ("fe80::1%eth0",),
    ],
)
def test_a_name_is_as_far_away_as_its_farthest_address(names: Names, addresses: tuple[str, ...]) -> None:
    names(*addresses)
    for attempt in (lambda: Target("http://box:80"), lambda: look(Load("http://box:80", Closed(1, 1)))):
        with pytest.raises(BadInput, match="it is not this machine"):
            attempt()
    assert len(address.resolve("http://box:80", allow_remote=True)) == len(addresses)


@pytest.mark.parametrize("addresses", [("127.0.0.1", "127.8.8.8"), ("::1",), ("::ffff:127.0.0.1",)])
def test_all_of_loopback_is_this_machine(names: Names, addresses: tuple[str, ...]) -> None:
    names(*addresses)
    assert address.resolve("http://box:80", allow_remote=False)


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://localhost", "http://", "http://a:99999", "http://[::1", "http://a:b"]
)
def test_what_is_no_url_of_a_server(url: str) -> None:
    with pytest.raises(BadInput, match="is not the URL of a server"):
        look(Load(url=url, shape=Closed(users=1, seconds=1)))


@pytest.mark.parametrize(
    ("url", "host"), [("http://[::1]:8000/v", "[::1]:8000"), ("http://localhost:8000", "localhost:8000")]
)
def test_the_host_header_is_the_url_s(url: str, host: str) -> None:
    assert f"\r\nHost: {host}\r\n".encode() in Target(url).request(b"{}")
