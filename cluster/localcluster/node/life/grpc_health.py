"""A `grpc` probe: asks the standard health service, in the kubelet's words.

Plain text only, as the API of this version: `mode: TLS` is behind a gate that is off.
Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import asyncio

import grpc

from localcluster.node.life.backoff import span
from localcluster.node.life.health import health_pb2 as api
from localcluster.node.life.health.health_pb2_grpc import HealthStub
from localcluster.node.life.http_get import agent

_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    (
        "grpc.use_local_subchannel_pool",
        1,
    ),  # or the back-off after a refusal would hold for the next probe too
)


class Unhealthy(Exception):
    """The service does not serve; the message is the kubelet's."""


async def check(address: tuple[str, int], service: str, *, named: str, limit: tuple[float, int]) -> None:
    """Return if the service says SERVING, else raise `Unhealthy`.

    `named` is the address in messages, `limit` the timeout in real seconds and in the manifest's.
    """
    seconds, shown = limit[0], span(limit[1])
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    options = (*_OPTIONS, ("grpc.primary_user_agent", agent("probe")), ("grpc.default_authority", named))
    async with grpc.aio.insecure_channel(f"{address[0]}:{address[1]}", options=options) as channel:
        try:
            async with asyncio.timeout_at(until):
                await channel.channel_ready()
        except TimeoutError as error:
            late = f'timeout: failed to connect service "{named}" within {shown}: context deadline exceeded'
            raise Unhealthy(late) from error
        request = api.HealthCheckRequest(service=service)
        try:
            answer = await HealthStub(channel).Check(request, timeout=max(0.0, until - loop.time()))
        except grpc.aio.AioRpcError as error:
            raise Unhealthy(_words(error, shown)) from error
    if answer.status != api.HealthCheckResponse.SERVING:
        name = api.HealthCheckResponse.ServingStatus.Name(answer.status)
        raise Unhealthy(f'service unhealthy (responded with "{name}")')


def _words(error: grpc.aio.AioRpcError, shown: str) -> str:
    code, said = error.code(), error.details()
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return (
            f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {said}"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"timeout: health rpc did not complete within {shown}"
    name = "Canceled" if code is grpc.StatusCode.CANCELLED else code.name.title().replace("_", "")
    return f"error: health rpc probe failed: rpc error: code = {name} desc = {said}"
