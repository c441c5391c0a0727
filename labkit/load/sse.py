"""One streaming request: ask for tokens, time every event that brings some, and say how it ended.

Runs inside the locust process only, where sockets are gevent's. The socket is ours and the parser is
geventhttpclient's (C), which costs less CPU than its client or locust's. Refuses to retry: what a user would
have seen is what is recorded.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import gevent
from geventhttpclient.response import HTTPParseError, HTTPResponse

_BLOCK = 65_536
_POD, _VERSION = "X-Served-By", "X-Model-Version"
"""Headers in which the lab's model server names its pod and its model; vLLM sends neither."""


@dataclass
class Answer:
    """What came back so far; moments are real seconds of `time.monotonic`, None until they happen."""

    outcome: str = "abandoned"
    detail: str = ""
    status: int = 0
    pod: str = ""
    version: str = ""
    first: float | None = None
    last: float | None = None
    events: int = 0
    tokens: int = 0
    first_tokens: int = 0
    gap: float = 0.0
    done: bool = False

    def take(self, payload: bytes, now: float) -> None:
        """Count one event's payload."""
        if payload == b"[DONE]":
            self.done = True
            return
        chunk = json.loads(payload)
        if "error" in chunk:
            raise _ServerSaidError(str(chunk["error"]))
        usage, choices = chunk.get("usage"), chunk.get("choices")
        if not choices:
            self._settle(usage)
            return
        spoke = bool(choices[0].get("text"))
        total = usage["completion_tokens"] if usage else self.tokens + spoke
        if total > self.tokens:
            self._grow(total, now)

    def _grow(self, total: int, now: float) -> None:
        if self.first is None:
            self.first, self.first_tokens = now, total
        else:
            self.gap = max(self.gap, now - (self.last or now))
        self.last, self.tokens = now, total
        self.events += 1

    def _settle(self, usage: dict[str, int] | None) -> None:
        """The closing event states the total; where events did not count, spread it over them."""
        total = usage["completion_tokens"] if usage else self.tokens
        if total != self.tokens and self.events:
            self.first_tokens = max(1, round(total / self.events))
        self.tokens = total


class _ServerSaidError(Exception):
    """An error object inside a stream that had begun."""


class _Refusal(Exception):
    """An answer other than 200."""


class Target:
    """A model server's address, looked up once, and how to speak to it."""

    def __init__(self, url: str, *, ca: str = "", keepalive: bool = False) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        found = socket.getaddrinfo(self.host, port, type=socket.SOCK_STREAM)[0][4]
        self.address = (str(found[0]), port)
        self.tls = ssl.create_default_context(cafile=ca or None) if secure else None
        self.keepalive = keepalive
        lines = (
            f"POST {parts.path.rstrip('/')}/v1/completions HTTP/1.1",
            f"Host: {self.host}:{port}",
            "Content-Type: application/json",
            "Accept: text/event-stream",
            f"Connection: {'keep-alive' if keepalive else 'close'}",
            "Content-Length: ",
        )
        self._head = "\r\n".join(lines).encode()

    def connect(self) -> socket.socket:
        """A new connection, so the balancer chooses anew."""
        sock = socket.create_connection(self.address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.tls.wrap_socket(sock, server_hostname=self.host) if self.tls else sock

    def request(self, body: bytes) -> bytes:
        """The whole request as it goes over the wire."""
        return self._head + b"%d\r\n\r\n" % len(body) + body


class Client:
    """One client; with keep-alive it holds one connection from request to request."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._kept: socket.socket | None = None

    def ask(self, body: bytes, answer: Answer, *, seconds: float) -> None:
        """Send and follow the stream to its end, or for `seconds` real seconds; fills in `answer`."""
        try:
            with gevent.Timeout(seconds):
                self._exchange(body, answer)
        except gevent.Timeout:
            answer.outcome = "timeout"
        except ConnectionRefusedError:
            answer.outcome = "refused"
        except ssl.SSLError as error:
            answer.outcome, answer.detail = "tls", str(error)
        except OSError as error:
            answer.outcome, answer.detail = ("broken" if answer.status else "reset"), str(error)
        except _Refusal as error:
            answer.outcome, answer.detail = f"http_{answer.status}", str(error)
        except _ServerSaidError as error:
            answer.outcome, answer.detail = "error", str(error)
        except (HTTPParseError, ValueError, KeyError, TypeError) as error:
            answer.outcome, answer.detail = "protocol", repr(error)
        else:
            answer.outcome = "ok" if answer.done else "broken"

    def close(self) -> None:
        """Let the kept connection go."""
        if self._kept:
            self._kept.close()
        self._kept = None

    def _exchange(self, body: bytes, answer: Answer) -> None:
        sock, kept = self._kept or self._target.connect(), self._kept is not None
        self._kept = None
        reusable = False
        try:
            try:
                sock.sendall(self._target.request(body))
                first = sock.recv(_BLOCK)
            except ConnectionError:
                first = b""
                if not kept:
                    raise
            if kept and not first:  # the server closed it while idle: any client opens another
                sock.close()
                sock = self._target.connect()
                sock.sendall(self._target.request(body))
                first = sock.recv(_BLOCK)
            reusable = _follow(sock, first, answer) and self._target.keepalive
        finally:
            if reusable:
                self._kept = sock
            else:
                sock.close()


def _follow(sock: socket.socket, first: bytes, answer: Answer) -> bool:
    """Read the answer to its end; whether the connection may be used again."""
    parser = HTTPResponse("POST")
    data = first
    while data:
        now = time.monotonic()
        parser.feed(data)
        if parser.headers_complete and not answer.status:
            answer.status = parser.get_code()
            answer.pod, answer.version = _header(parser, _POD), _header(parser, _VERSION)
        if answer.status == 200:
            for payload in _payloads(parser._body_buffer):  # noqa: SLF001  the parser has no other way out
                answer.take(payload, now)
        if parser.message_complete:
            break
        data = sock.recv(_BLOCK)
    if not answer.status:
        raise ConnectionResetError("closed before any answer")
    if answer.status != 200:
        raise _Refusal(bytes(parser._body_buffer[:200]).decode(errors="replace"))  # noqa: SLF001
    return bool(parser.message_complete and not parser.should_close())


def _payloads(buffer: bytearray) -> Iterator[bytes]:
    """Take the complete events out of the buffer; comments (keep-alive pings) are dropped."""
    while (end := buffer.find(b"\n\n")) >= 0:
        event = bytes(buffer[:end])
        del buffer[: end + 2]
        if event.startswith(b"data:"):
            yield event[5:].strip()


def _header(parser: HTTPResponse, name: str) -> str:
    value = parser.get(name)
    return value if isinstance(value, str) else ""
