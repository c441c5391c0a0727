"""HTTP probes and hooks against real servers: redirects, hosts, headers, TLS, as the kubelet has them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from localcluster.embedded import pki
from localcluster.node.life.http_get import NoTls, get, question
from localcluster.node.life.probes import Outcome, Target, probe
from localcluster.toolchain.versions import pins

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
POD = "10.244.1.2"


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on loopback; its port."""
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def no_exec(command: Sequence[str], seconds: float) -> tuple[int, str]:
    raise AssertionError((command, seconds))


def target(dial: Callable[[str, int], tuple[str, int]]) -> Target:
    return Target(
        POD, {"name": "main", "ports": [{"name": "http", "containerPort": 8000}]}, dial, no_exec, 1.0
    )


def asked(handler: Handler, **spec: Any) -> Outcome:
    """What a probe of a pod with that server finds."""

    async def scenario() -> Outcome:
        async with serving(handler) as port:
            return await probe(
                {"httpGet": {"port": "http", **spec}}, target(lambda _h, _p: ("127.0.0.1", port))
            )

    return asyncio.run(scenario())


def leads(*, to: str, status: int = 307, then: int = 200) -> Handler:
    """A server that sends /health elsewhere and answers `then` to everything else."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.path_qs == "/health":
            return web.Response(status=status, headers={"Location": to} if to else {}, text="see there")
        return web.Response(status=then)

    return handler


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("to", ["/health/", "ready?x=1", f"http://{POD}:8000/", f"http://{POD}:9/other"])
def test_a_redirect_to_the_same_host_is_followed(status: int, to: str) -> None:
    assert asked(leads(to=to, status=status), path="/health") == Outcome(True)
    refused = Outcome(False, "HTTP probe failed with statuscode: 503")
    assert asked(leads(to=to, status=status, then=503), path="/health") == refused


@pytest.mark.parametrize(
    ("to", "status"),
    [("http://login.example.invalid/", 307), ("https://localhost:8000/health/", 302), ("/a", 300), ("", 302)],
)
def test_another_redirect_is_a_success_with_a_warning(to: str, status: int) -> None:
    outcome = asked(leads(to=to, status=status, then=503), path="/health")
    said = "Probe terminated redirects, Response body: see there"
    assert outcome == Outcome(True, said, warning=True)


def test_ten_redirects_are_enough() -> None:
    outcome = asked(leads(to="/health"), path="/health")
    assert outcome == Outcome(False, 'Get "/health": stopped after 10 redirects')


@pytest.mark.parametrize(("hops", "ok"), [(9, True), (10, False)])
def test_the_tenth_redirect_is_one_too_many(hops: int, ok: bool) -> None:  # noqa: FBT001
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        seen = int(request.query.get("n", "0"))
        return (
            web.Response(status=302, headers={"Location": f"?n={seen + 1}"})
            if seen < hops
            else web.Response()
        )

    assert asked(handler, path="/").ok is ok


def headers_of(**spec: Any) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        found.extend((name.decode(), value.decode()) for name, value in request.raw_headers)
        return web.Response()

    assert asked(handler, **spec).ok
    return found


def test_the_headers_are_the_kubelets() -> None:
    major, minor, _ = pins().releases["kubernetes"].split(".")
    assert headers_of() == [
        ("Host", f"{POD}:8000"),
        ("User-Agent", f"kube-probe/{major}.{minor}"),
        ("Accept", "*/*"),
        ("Connection", "close"),
    ]


def test_headers_of_the_manifest_come_before_them_and_may_repeat() -> None:
    given = [("Host", "chat.example"), ("X-Key", "a"), ("X-Key", "b"), ("user-agent", "me"), ("Accept", "")]
    found = headers_of(httpHeaders=[{"name": name, "value": value} for name, value in given])
    assert found[:2] == [("Host", "chat.example"), ("User-Agent", "me")]
    assert [value for name, value in found if name == "X-Key"] == ["a", "b"]
    assert "Accept" not in dict(found)


def test_a_host_of_the_manifest_is_the_one_that_is_asked() -> None:
    dialled: list[tuple[str, int]] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=request.headers["Host"])

    async def scenario() -> Outcome:
        async with serving(handler) as port:

            def dial(host: str, wanted: int) -> tuple[str, int]:
                dialled.append((host, wanted))
                return "127.0.0.1", port

            return await probe({"httpGet": {"port": 80, "host": "10.244.3.9"}}, target(dial))

    assert asyncio.run(scenario()).ok
    assert dialled == [("10.244.3.9", 80)]


def test_a_host_that_has_no_address_is_named() -> None:
    spec = {"httpGet": {"port": 80, "host": "nobody.invalid"}, "timeoutSeconds": 20}
    outcome = asyncio.run(probe(spec, target(lambda host, port: (host, port))))
    assert outcome.message == 'Get "http://nobody.invalid:80": dial tcp: lookup nobody.invalid: no such host'


def test_what_is_no_http_is_said() -> None:
    async def scenario() -> Outcome:
        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"220 mail.example ESMTP\r\n")
            writer.close()

        async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await probe({"httpGet": {"port": 8000}}, target(lambda _h, _p: ("127.0.0.1", port)))

    outcome = asyncio.run(scenario())
    assert not outcome.ok
    assert "malformed HTTP response" in outcome.message


def test_a_body_that_does_not_come_counts_for_nothing() -> None:
    async def scenario() -> Outcome:
        async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
            writer.close()

        async with await asyncio.start_server(begin, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await probe({"httpGet": {"port": 8000}}, target(lambda _h, _p: ("127.0.0.1", port)))

    assert asyncio.run(scenario()) == Outcome(False, "unexpected EOF", errored="failure")


def test_a_long_body_is_not_waited_for() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"x" * 10**6)

    assert asked(handler).ok


@pytest.fixture
def tls_context(tmp_path: Path) -> ssl.SSLContext:
    """Of a certificate that nobody here trusts."""
    pki.ensure(tmp_path, [pki.Identity("server", "server", hosts=("elsewhere.example",))])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    return context


def test_nobody_asks_for_a_certificate(tls_context: ssl.SSLContext) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    async def scenario() -> Outcome:
        async with serving(handler, tls_context) as port:
            spec = {"httpGet": {"port": 8443, "scheme": "HTTPS"}}
            return await probe(spec, target(lambda _h, _p: ("127.0.0.1", port)))

    assert asyncio.run(scenario()).ok


def test_https_where_http_answers_is_told_apart() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    async def scenario() -> None:
        async with serving(handler) as port:
            wanted = question({"scheme": "HTTPS", "path": "/x"}, host=POD, port=443, purpose="lifecycle")
            await get(wanted, lambda _h, _p: ("127.0.0.1", port), 20.0)

    with pytest.raises(NoTls, match="server gave HTTP response to HTTPS client"):
        asyncio.run(scenario())
