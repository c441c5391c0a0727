"""gRPC probes against real servers that speak the standard health service, or don't."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from localcluster.node.life.health.health_pb2 import HealthCheckRequest, HealthCheckResponse
from localcluster.node.life.health.health_pb2_grpc import HealthServicer, add_HealthServicer_to_server
from localcluster.node.life.probes import Outcome, Target, probe

Context = grpc.aio.ServicerContext[Any, Any]
CLOCK = 30.0  # the shortest timeout, 2 s of real time, is that of a minute
NAMED = "10.244.1.2:9000"
LOOP = asyncio.Runner()
"""Stays open: gRPC ends what it was told to end a little later, and looks for the loop of then."""


class Health(HealthServicer):
    """Knows some services."""

    def __init__(self, **states: int) -> None:
        self.states = {name.removeprefix("_"): state for name, state in states.items()}

    async def Check(self, request: HealthCheckRequest, context: Context) -> HealthCheckResponse:  # noqa: N802
        if request.service == "slow":
            await asyncio.Event().wait()
        if request.service not in self.states:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return HealthCheckResponse(
            status=HealthCheckResponse.ServingStatus.ValueType(self.states[request.service])
        )


@asynccontextmanager
async def serving(health: Health | None) -> AsyncIterator[int]:
    server = grpc.aio.server()
    if health is not None:
        add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def no_exec(command: Sequence[str], seconds: float) -> tuple[int, str]:
    raise AssertionError((command, seconds))


async def asked(port: int, service: str | None = None, seconds: int = 1) -> Outcome:
    dialled = Target("10.244.1.2", {"name": "main"}, lambda _h, _p: ("127.0.0.1", port), no_exec, CLOCK)
    spec = {"grpc": {"port": 9000, "service": service}, "timeoutSeconds": seconds}
    return await probe(spec, dialled)


def found(health: Health | None, service: str | None = None) -> Outcome:
    async def scenario() -> Outcome:
        async with serving(health) as port:
            return await asked(port, service)

    return LOOP.run(scenario())


STATES = Health(_=1, llm=2, asr=0)
LACKS = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "
NOT_FOUND = "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service"


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (None, Outcome(True, "service healthy")),
        ("", Outcome(True, "service healthy")),
        ("llm", Outcome(False, 'service unhealthy (responded with "NOT_SERVING")')),
        ("asr", Outcome(False, 'service unhealthy (responded with "UNKNOWN")')),
        ("tts", Outcome(False, NOT_FOUND)),
        ("slow", Outcome(False, "timeout: health rpc did not complete within 1s")),
    ],
)
def test_a_service_is_as_its_health_says(service: str | None, expected: Outcome) -> None:
    assert found(STATES, service) == expected


def test_a_server_without_health_service_is_told_so() -> None:
    outcome = found(None)
    assert not outcome.ok
    assert outcome.message.startswith(LACKS)


def test_nobody_listens() -> None:
    said = f'timeout: failed to connect service "{NAMED}" within 1m30s: context deadline exceeded'
    assert LOOP.run(asked(1, seconds=90)) == Outcome(False, said)


def test_a_server_that_speaks_something_else_can_not_be_connected_to() -> None:
    async def scenario() -> Outcome:
        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
            return await asked(server.sockets[0].getsockname()[1])

    assert "failed to connect service" in LOOP.run(scenario()).message


def test_a_server_that_comes_up_is_seen_at_the_next_probe() -> None:
    async def scenario() -> tuple[bool, bool]:
        async with serving(STATES) as port:
            pass
        before = await asked(port)
        server = grpc.aio.server()
        add_HealthServicer_to_server(STATES, server)
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        try:
            return before.ok, (await asked(port)).ok
        finally:
            await server.stop(0)

    assert LOOP.run(scenario()) == (False, True)
