"""Probes against real sockets, and their counters."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from localcluster.node.life.probes import SHORTEST_TIMEOUT, Counter, Outcome, ProbeLoop, Target, probe


def test_counter_needs_its_thresholds_in_a_row() -> None:
    counter = Counter(success_threshold=2, failure_threshold=3, passing=False)
    reached = [
        counter.note(ok=ok) for ok in (True, False, True, True, False, False, True, False, False, False)
    ]
    assert reached == [False, False, False, True, False, False, False, False, False, True]
    assert counter.passing is False


async def _no_exec(command: Sequence[str], seconds: float) -> tuple[int, str]:
    raise AssertionError((command, seconds))


def target(port: int, clock: float = 1.0) -> Target:
    container = {"name": "main", "ports": [{"name": "http", "containerPort": 8000}]}
    return Target("10.244.1.2", container, lambda _host, _port: ("127.0.0.1", port), _no_exec, clock)


async def _serve(answer: bytes, spec: dict[str, Any]) -> tuple[Outcome, bytes]:
    asked = b""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.transport.abort()
        hung_up.set()

    hung_up = asyncio.Event()
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        outcome = await probe(spec, target(server.sockets[0].getsockname()[1]))
        await hung_up.wait()
        return outcome, asked


HTTP = {"httpGet": {"path": "/health", "port": "http", "httpHeaders": [{"name": "X-A", "value": "b"}]}}
URL = 'Get "http://10.244.1.2:8000/health"'


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", Outcome(True)),
        (b"HTTP/1.1 503 Busy\r\n\r\nx", Outcome(False, "HTTP probe failed with statuscode: 503")),
        (b"", Outcome(False, f"{URL}: EOF")),
    ],
)
def test_http(answer: bytes, expected: Outcome) -> None:
    outcome, asked = asyncio.run(_serve(answer, HTTP))
    assert outcome == expected
    assert asked.startswith(b"GET /health HTTP/1.1\r\nHost: 10.244.1.2:8000\r\n")
    assert b"X-A: b" in asked
    assert b"kube-probe/" in asked


def test_nobody_listens() -> None:
    refused = "dial tcp 10.244.1.2:8000: connect: connection refused"
    assert asyncio.run(probe(HTTP, target(1))) == Outcome(False, f"{URL}: {refused}")
    assert asyncio.run(probe({"tcpSocket": {"port": 8000}}, target(1))) == Outcome(False, refused)


def test_silence_is_a_failure() -> None:
    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.transport.abort()
        hung_up.set()

    hung_up = asyncio.Event()

    async def scenario() -> Outcome:
        async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
            outcome = await probe(HTTP, target(server.sockets[0].getsockname()[1], clock=15))
            await hung_up.wait()
            return outcome

    assert "context deadline exceeded" in asyncio.run(scenario()).message


@pytest.mark.parametrize("kind", ["httpGet", "tcpSocket"])
def test_a_port_that_is_not_declared_counts_for_nothing(kind: str) -> None:
    outcome = asyncio.run(probe({kind: {"port": "nope"}}, target(1)))
    assert outcome == Outcome(False, 'port "nope" not found', errored="unknown")


def test_a_probe_that_failed_itself_counts_for_nothing() -> None:
    async def scenario() -> list[bool]:
        seen: list[bool] = []

        def report(outcome: Outcome, reached: bool) -> bool:  # noqa: FBT001
            seen.append(reached)
            return len(seen) == 4

        spec = {"httpGet": {"port": "nope"}, "failureThreshold": 1, "periodSeconds": 1}
        await ProbeLoop(spec, target(1, clock=15), passing=True).run(report)
        return seen

    assert asyncio.run(scenario()) == [False] * 4


def test_exec_outcomes() -> None:
    async def run(command: Sequence[str], seconds: float) -> tuple[int, str]:
        if command[0] == "slow":
            raise TimeoutError
        assert seconds == SHORTEST_TIMEOUT
        return (0 if command[0] == "true" else 1), "said\n"

    seen = Target("", {"name": "main"}, lambda _host, port: ("", port), run, 1.0)

    def outcome(word: str) -> Outcome:
        return asyncio.run(probe({"exec": {"command": [word]}}, seen))

    assert outcome("true").ok
    assert outcome("false") == Outcome(False, "said")
    assert outcome("slow").message == 'command timed out: "slow" timed out after 1s'


def test_loop_reports_until_it_is_told_enough() -> None:
    async def scenario() -> list[tuple[bool, bool]]:
        seen: list[tuple[bool, bool]] = []

        def report(outcome: Outcome, reached: bool) -> bool:  # noqa: FBT001
            seen.append((outcome.ok, reached))
            return reached

        spec = {"tcpSocket": {"port": 8000}, "failureThreshold": 3, "periodSeconds": 1}
        await ProbeLoop(spec, target(1, clock=15), passing=True).run(report)
        return seen

    assert asyncio.run(scenario()) == [(False, False), (False, False), (False, True)]
