"""Startup, readiness and liveness probes of one run of a container, with all their counters.

Times are lab seconds, divided by the clock: periods no shorter than 0.1 s of real time, and timeouts no
shorter than 2 s, because one machine runs all nodes of the lab.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from localcluster.api import Json
from localcluster.node.life import http_get
from localcluster.node.life.backoff import span
from localcluster.node.life.http_get import Dial

SHORTEST_PERIOD = 0.1
SHORTEST_TIMEOUT = 2.0  # twelve servers that start on two cores leave a healthy one without CPU for a second
_READ_AT_MOST = 10 * 1024
_RETRIES = 3  # of a probe that could not be made at all


@dataclass(frozen=True)
class Outcome:
    """What one probe found; `message` is the kubelet's.

    `warning`: successful, but with a message. `errored` (failure, unknown): the probe itself failed, so that
    it counts for nothing.
    """

    ok: bool
    message: str = ""
    warning: bool = False
    errored: str = ""


@dataclass
class Counter:
    """Counts outcomes in a row; `passing` changes when a threshold is reached."""

    success_threshold: int
    failure_threshold: int
    passing: bool
    _row: int = 0
    _last: bool | None = None

    def note(self, *, ok: bool) -> bool:
        """Count one outcome; returns whether a threshold has been reached."""
        self._row = self._row + 1 if ok == self._last else 1
        self._last = ok
        reached = self._row >= (self.success_threshold if ok else self.failure_threshold)
        if reached:
            self.passing = ok
        return reached


@dataclass(frozen=True)
class Target:
    """The container as its probes see it."""

    pod_ip: str
    container: Json  # its spec, for named ports
    dial: Dial
    run: Callable[[Sequence[str], float], Awaitable[tuple[int, str]]]  # exec, with a timeout in seconds
    clock: float

    def port(self, port: int | str) -> int:
        """A port by number or name; raises ValueError for a name that the container does not declare."""
        return number(self.container, port)

    def host(self, spec: Json) -> str:
        """The host that a probe asks: the pod, unless its manifest names another."""
        return str(spec.get("host") or self.pod_ip)

    def limit(self, spec: Json) -> float:
        """The timeout in real seconds."""
        return max(float(spec.get("timeoutSeconds", 1)) / self.clock, SHORTEST_TIMEOUT)


def number(container: Json, port: int | str) -> int:
    """The number of a container's port; raises ValueError for a name that it does not declare."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    for declared in container.get("ports", ()):
        if declared.get("name") == port:
            return int(declared["containerPort"])
    raise ValueError(f'port "{port}" not found')


class ProbeLoop:
    """One probe, repeated until cancelled; calls `on_outcome` for each outcome that counts."""

    def __init__(self, spec: Json, target: Target, *, passing: bool) -> None:
        self.spec = spec
        self.target = target
        self.counter = Counter(spec.get("successThreshold", 1), spec.get("failureThreshold", 3), passing)
        self.period = max(spec.get("periodSeconds", 10) / target.clock, SHORTEST_PERIOD)

    async def run(self, report: Callable[[Outcome, bool], bool]) -> None:
        """Probe until `report(outcome, threshold_reached)` returns True."""
        await asyncio.sleep(self.spec.get("initialDelaySeconds", 0) / self.target.clock)
        loop = asyncio.get_running_loop()
        due = loop.time() + random.uniform(0, min(0.05, self.period / 4))  # not all pods at once
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            outcome = await probe(self.spec, self.target)
            if report(outcome, not outcome.errored and self.counter.note(ok=outcome.ok)):
                return
            due = max(due + self.period, loop.time())


async def probe(spec: Json, target: Target) -> Outcome:
    """Probe once; again at once where the probe itself failed."""
    for _ in range(_RETRIES):
        outcome = await _probe(spec, target)
        if not outcome.errored:
            break
    return outcome


async def _probe(spec: Json, target: Target) -> Outcome:
    try:
        if "httpGet" in spec:
            return await _http(spec, target)
        if "tcpSocket" in spec:
            return await _tcp(spec, target)
        if "grpc" in spec:
            return await _grpc(spec, target)
        return await _exec(spec, target)
    except ValueError as error:
        return Outcome(False, str(error), errored="unknown")


async def _exec(spec: Json, target: Target) -> Outcome:
    command = spec["exec"].get("command", ())
    try:
        code, output = await target.run(command, target.limit(spec))
    except TimeoutError:
        seconds = span(spec.get("timeoutSeconds", 1))
        return Outcome(False, f'command timed out: "{" ".join(command)}" timed out after {seconds}')
    return Outcome(code == 0, output.strip()[:_READ_AT_MOST])


async def _tcp(spec: Json, target: Target) -> Outcome:
    port, host = target.port(spec["tcpSocket"]["port"]), target.host(spec["tcpSocket"])
    try:
        async with asyncio.timeout(target.limit(spec)):
            _, writer = await asyncio.open_connection(*target.dial(host, port))
        writer.close()
    except TimeoutError:
        return Outcome(False, f"dial tcp {host}:{port}: i/o timeout")
    except socket.gaierror:
        return Outcome(False, f"dial tcp: lookup {host}: no such host")
    except OSError as error:
        return Outcome(False, f"dial tcp {host}:{port}: {http_get.why(error)}")
    return Outcome(True)


async def _grpc(spec: Json, target: Target) -> Outcome:
    from localcluster.node.life import grpc_health  # noqa: PLC0415 - 14 MiB, and few pods ask for it

    port, service = int(spec["grpc"]["port"]), str(spec["grpc"].get("service") or "")
    limit = target.limit(spec), int(spec.get("timeoutSeconds", 1))
    named = f"{target.pod_ip}:{port}"
    try:
        await grpc_health.check(target.dial(target.pod_ip, port), service, named=named, limit=limit)
    except grpc_health.Unhealthy as error:
        return Outcome(False, str(error))
    return Outcome(True, "service healthy")


async def _http(spec: Json, target: Target) -> Outcome:
    asked = http_get.question(
        spec["httpGet"], host=target.pod_ip, port=target.port(spec["httpGet"]["port"]), purpose="probe"
    )
    try:
        answer = await http_get.get(asked, target.dial, target.limit(spec))
    except http_get.CutOff as error:
        return Outcome(False, str(error), errored="failure")
    except http_get.Unanswered as error:
        return Outcome(False, str(error))
    if not 200 <= answer.status < 400:
        return Outcome(False, f"HTTP probe failed with statuscode: {answer.status}")
    if answer.status >= 300:
        said = f"Probe terminated redirects, Response body: {answer.body}"
        return Outcome(True, said, warning=True)
    return Outcome(True)
