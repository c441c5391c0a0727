"""Startup, readiness and liveness probes of one run of a container, with all their counters.

Times are lab seconds, divided by the clock: periods no shorter than 0.1 s of real time, and timeouts no
shorter than 2 s, since one machine answers for all nodes of the lab. Refuses gRPC probes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

SHORTEST_PERIOD = 0.1
SHORTEST_TIMEOUT = 2.0  # twelve servers that start on two cores leave a healthy one without CPU for a second
_USER_AGENT = "kube-probe/1.37"
_READ_AT_MOST = 10 * 1024


@dataclass(frozen=True)
class Outcome:
    """What one probe found; `message` is the kubelet's."""

    ok: bool
    message: str = ""


@dataclass
class Counter:
    """Counts outcomes in a row; `passing` changes when a threshold is reached."""

    success_threshold: int
    failure_threshold: int
    passing: bool
    _row: int = 0
    _last: bool | None = None

    def note(self, *, ok: bool) -> bool:
        """Count one outcome; True where a threshold was reached by it, or had been before."""
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
    address: Callable[[int], tuple[str, int]]  # containerPort -> where it really is
    run: Callable[[Sequence[str], float], Awaitable[tuple[int, str]]]  # exec, with a timeout in seconds
    clock: float

    def port(self, port: int | str) -> int:
        """A port by number or name; raises ValueError for a name that the container does not declare."""
        if isinstance(port, int) or str(port).isdigit():
            return int(port)
        for declared in self.container.get("ports", ()):
            if declared.get("name") == port:
                return int(declared["containerPort"])
        raise ValueError(f'couldn\'t find port: "{port}" in container {self.container["name"]}')


class ProbeLoop:
    """One probe, again and again until it is cancelled; tells `on_outcome` of each outcome that counts."""

    def __init__(self, spec: Json, target: Target, *, passing: bool) -> None:
        self.spec = spec
        self.target = target
        self.counter = Counter(spec.get("successThreshold", 1), spec.get("failureThreshold", 3), passing)
        self.period = max(spec.get("periodSeconds", 10) / target.clock, SHORTEST_PERIOD)

    async def run(self, report: Callable[[Outcome, bool], bool]) -> None:
        """Probe until `report(outcome, threshold_reached)` says True: enough."""
        await asyncio.sleep(self.spec.get("initialDelaySeconds", 0) / self.target.clock)
        loop = asyncio.get_running_loop()
        due = loop.time() + random.uniform(0, min(0.05, self.period / 4))  # not all pods at once
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            outcome = await probe(self.spec, self.target)
            if report(outcome, self.counter.note(ok=outcome.ok)):
                return
            due = max(due + self.period, loop.time())


async def probe(spec: Json, target: Target) -> Outcome:
    """Probe once."""
    timeout = max(spec.get("timeoutSeconds", 1) / target.clock, SHORTEST_TIMEOUT)
    try:
        if "httpGet" in spec:
            return await _http(spec["httpGet"], target, timeout)
        if "tcpSocket" in spec:
            return await _tcp(spec["tcpSocket"], target, timeout)
        if "exec" in spec:
            return await _exec(spec, target, timeout)
    except ValueError as error:
        return Outcome(False, str(error))
    return Outcome(
        False, "gRPC probes are not supported by the embedded node: use httpGet, tcpSocket or exec"
    )


async def _exec(spec: Json, target: Target, timeout: float) -> Outcome:  # noqa: ASYNC109 - handed on
    command = spec["exec"].get("command", ())
    try:
        code, output = await target.run(command, timeout)
    except TimeoutError:
        seconds = spec.get("timeoutSeconds", 1)
        return Outcome(False, f'command timed out: "{" ".join(command)}" timed out after {seconds}s')
    return Outcome(code == 0, output.strip()[:_READ_AT_MOST])


async def _tcp(spec: Json, target: Target, timeout: float) -> Outcome:  # noqa: ASYNC109 - handed on
    port = target.port(spec["port"])
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(*target.address(port))
        writer.close()
    except TimeoutError:
        return Outcome(False, f"dial tcp {target.pod_ip}:{port}: i/o timeout")
    except OSError as error:
        return Outcome(False, f"dial tcp {target.pod_ip}:{port}: {_why(error)}")
    return Outcome(True)


async def _http(spec: Json, target: Target, timeout: float) -> Outcome:  # noqa: ASYNC109 - handed on
    port = target.port(spec["port"])
    scheme = spec.get("scheme", "HTTP").lower()
    url = f"{scheme}://{target.pod_ip}:{port}{_path(spec)}"
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(
                *target.address(port), ssl=_trusting() if scheme == "https" else None
            )
            writer.write(_request(spec, f"{target.pod_ip}:{port}"))
            status = await reader.readline()
            body = b"" if _success(status) else await reader.read(_READ_AT_MOST)
    except TimeoutError:
        late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Outcome(False, f'Get "{url}": {late}')
    except OSError as error:
        if writer is None:
            return Outcome(False, f'Get "{url}": dial tcp {target.pod_ip}:{port}: {_why(error)}')
        return Outcome(False, f'Get "{url}": read tcp: {_why(error)}')
    finally:
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.transport.abort()
    return _judged(status, url, body)


def _judged(status: bytes, url: str, body: bytes) -> Outcome:
    del body  # read so that the server is not cut off in the middle of its refusal
    words = status.split()
    if not status:
        return Outcome(False, f'Get "{url}": EOF')
    if len(words) < 2 or not words[1].isdigit():
        return Outcome(False, f'Get "{url}": malformed HTTP response {status.decode(errors="replace")!r}')
    if _success(status):
        return Outcome(True)
    return Outcome(False, f"HTTP probe failed with statuscode: {int(words[1])}")


def _success(status: bytes) -> bool:
    words = status.split()
    return len(words) >= 2 and words[1].isdigit() and 200 <= int(words[1]) < 400


def _path(spec: Json) -> str:
    path = str(spec.get("path") or "/")
    return path if path.startswith("/") else f"/{path}"


def _request(spec: Json, host: str) -> bytes:
    headers = {"Host": host, "User-Agent": _USER_AGENT, "Accept": "*/*", "Connection": "close"}
    headers |= {h["name"]: h["value"] for h in spec.get("httpHeaders", ())}
    lines = [f"GET {_path(spec)} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _trusting() -> ssl.SSLContext:
    """As the kubelet: a probe checks that somebody answers, not who."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _why(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connect: connection refused"
    if isinstance(error, ConnectionResetError):
        return "connection reset by peer"
    return str(error.strerror or error).lower()
