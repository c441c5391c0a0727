"""The agent's way out: aiohttp in the lab's namespace, a server on this machine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import aiohttp
import pytest

from localcluster.netns.outward import Outward
from tests.cluster.unit.netns_world import REFUSED, Lab, lab, usable

pytestmark = pytest.mark.skipif(not usable(), reason=REFUSED)


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"hello, {self.headers['Host']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server on this machine's loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("outward") / "lab") as made:
        made.hold()
        made.edge()
        yield made


async def _get(connector: aiohttp.TCPConnector, urls: tuple[str, ...]) -> list[str]:
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        texts = []
        for url in urls:
            async with session.get(url, timeout=aiohttp.ClientTimeout(20)) as answer:
                texts.append(await answer.text())
        return texts


def fetched(folder: Path, *urls: str, outward: bool = True) -> list[str] | str:
    """The pages, or why there are none."""

    async def scenario() -> list[str]:
        way = Outward(folder)
        if not outward:
            return await _get(aiohttp.TCPConnector(), urls)
        return await _get(aiohttp.TCPConnector(resolver=way.resolver(), socket_factory=way.socket), urls)

    try:
        return asyncio.run(scenario())
    except aiohttp.ClientConnectorError as error:
        return f"{type(error).__name__}: {error}"


def test_a_page_of_this_machine_is_fetched_by_name_and_by_address(opened: Lab, port: int) -> None:
    names = [f"localhost:{port}", f"127.0.0.1:{port}", f"localhost:{port}"]
    urls = [f"http://{name}/" for name in names]
    with opened.worker() as inside:
        assert inside.call(fetched, opened.dir, *urls) == [f"hello, {name}" for name in names]
        refused = inside.call(fetched, opened.dir, urls[1], outward=False)
    assert isinstance(refused, str)  # the lab's own loopback is another one
    assert refused.startswith("ClientConnectorError")


def test_an_unknown_name_and_an_edge_that_is_gone_are_errors(opened: Lab, port: int) -> None:
    with opened.worker() as inside:
        unknown = inside.call(fetched, opened.dir, "http://no-such-host.invalid/")
        assert isinstance(unknown, str)
        assert "Cannot connect to host no-such-host.invalid:80" in unknown
        opened.kill("edge")
        gone = inside.call(fetched, opened.dir, f"http://localhost:{port}/")
        assert isinstance(gone, str)
        assert f"Cannot connect to host localhost:{port}" in gone
