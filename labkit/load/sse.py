"""One streaming request: ask for tokens, time every event that contains some, and say how it ended.

Runs inside the locust process only, where sockets are gevent's. The socket is ours and the parser is
geventhttpclient's (C), which costs less CPU than its client or locust's. Never retries: it records what a
user would have seen.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import gevent
from geventhttpclient.response import HTTPParseError, HTTPResponse

from labkit.load import address
from labkit.load.event_stream import EventStream

DONE = b"[DONE]"
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_BLOCK = 65_536
_POD, _VERSION = "X-Served-By", "X-Model-Version"
"""Headers in which the lab's model server names its pod and its model; vLLM sends neither."""


@dataclass
class Answer:
    """What has come back so far; moments are real seconds of `time.monotonic`, None until they happen."""

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
    counted: bool = False
    """Whether the server reported a token count; if not, `tokens` is the number of events with text."""
    done: bool = False

    def take(self, payload: bytes, now: float) -> None:
        """Count one event's payload; an empty one only keeps the connection alive."""
        payload = payload.strip()
        if payload == DONE or not payload:
            self.done = self.done or payload == DONE
            return
        chunk = _object(payload)
        total, choices = _tokens_of(chunk), chunk.get("choices")
        spoke = bool(choices and choices[0].get("text"))
        at_the_end = not choices or (self.events > 0 and not self.counted)
        if total is None or at_the_end:
            if spoke:
                self._grow(self.tokens + 1, now)
            if total is not None:
                self._settle(total)
            return
        self.counted = True
        if total > self.tokens:
            self._grow(total, now)

    def _grow(self, total: int, now: float) -> None:
        if self.first is None:
            self.first, self.first_tokens = now, total
        else:
            self.gap = max(self.gap, now - (self.last or now))
        self.last, self.tokens = now, total
        self.events += 1

    def _settle(self, total: int) -> None:
        """The final event gives the total; if the others gave no counts, spread it over them."""
        if total != self.tokens and self.events:
            self.first_tokens = max(1, round(total / self.events))
        self.tokens, self.counted = total, True


def _object(payload: bytes) -> dict[str, Any]:
    """An event's JSON; raises if it is an error object, in OpenAI's form or in vLLM's older one."""
    chunk = json.loads(payload)
    if not isinstance(chunk, dict):
        raise TypeError(f"an event is no JSON object: {payload[:80]!r}")
    if chunk.get("error") or chunk.get("object") == "error":
        raise _ServerSaidError(str(chunk.get("error") or chunk.get("message")))
    return chunk


def _tokens_of(chunk: dict[str, Any]) -> int | None:
    """The number of tokens so far, if the event has it (`stream_options` asks for it)."""
    usage = chunk.get("usage") or {}
    found = usage.get("completion_tokens")
    return None if found is None else int(found)


class _ServerSaidError(Exception):
    """An error object within a stream that had already begun."""


class _Refusal(Exception):
    """A status other than 200."""


class Target:
    """A model server's address, resolved once, and how to connect to it."""

    def __init__(
        self,
        url: str,
        *,
        ca: str = "",
        keepalive: bool = False,
        allow_remote: bool = False,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        parts = address.split(url)
        self.host = parts.hostname or ""
        secure = parts.scheme == "https"
        self._addresses = address.resolve(url, allow_remote=allow_remote)
        self.tls = ssl.create_default_context(cafile=ca or None) if secure else None
        self.keepalive = keepalive
        lines = (
            f"POST {parts.path.rstrip('/')}/v1/completions HTTP/1.1",
            f"Host: {parts.netloc.rpartition('@')[2]}",
            "Content-Type: application/json",
            "Accept: text/event-stream",
            f"Connection: {'keep-alive' if keepalive else 'close'}",
            *(f"{name}: {value}" for name, value in headers.items()),
            "Content-Length: ",
        )
        self._head = "\r\n".join(lines).encode()

    def connect(self) -> socket.socket:
        """Open a new connection, so the balancer chooses again; if one address refuses, try the next."""
        sock = address.connect(self._addresses)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.tls.wrap_socket(sock, server_hostname=self.host) if self.tls else sock

    def request(self, body: bytes) -> bytes:
        """The complete request as it is sent."""
        return self._head + b"%d\r\n\r\n" % len(body) + body


class Client:
    """One client; with keep-alive it holds one connection from request to request."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._kept: socket.socket | None = None

    def ask(self, body: bytes, answer: Answer, *, seconds: float) -> None:
        """Send, and follow the stream to its end or for `seconds` real seconds; fills in `answer`."""
        try:
            with gevent.Timeout(seconds):
                self._exchange(body, answer)
        except gevent.Timeout:
            answer.outcome = "timeout"
        except ConnectionRefusedError as error:
            answer.outcome, answer.detail = "refused", str(error)
        except ssl.SSLError as error:
            answer.outcome, answer.detail = "tls", str(error)
        except OSError as error:
            answer.outcome, answer.detail = ("broken" if answer.status else "reset"), str(error)
        except _Refusal as error:
            answer.outcome, answer.detail = f"http_{answer.status}", str(error)
        except _ServerSaidError as error:
            answer.outcome, answer.detail = "error", str(error)
        except (HTTPParseError, ValueError, LookupError, AttributeError, TypeError) as error:
            answer.outcome, answer.detail = "protocol", repr(error)
        else:
            answer.outcome = "ok" if answer.done else "broken"

    def close(self) -> None:
        """Close the connection that was kept."""
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
            if kept and not first:  # the server closed it while idle: every client then opens another
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
    """Read the answer to its end; return whether the connection can be reused."""
    parser, stream = HTTPResponse("POST"), EventStream()
    data = first
    while data:
        now = time.monotonic()
        parser.feed(data)
        if parser.headers_complete and not answer.status:
            answer.status = parser.get_code()
            answer.pod, answer.version = _header(parser, _POD), _header(parser, _VERSION)
        if answer.status == 200:
            piece = bytes(parser._body_buffer)  # noqa: SLF001  the parser has no other way out
            parser._body_buffer.clear()  # noqa: SLF001
            for payload in stream.feed(piece):
                answer.take(payload, now)
        if parser.message_complete:
            break
        data = sock.recv(_BLOCK)
    if not answer.status:
        raise ConnectionResetError("closed before any answer")
    if answer.status != 200:
        raise _Refusal(bytes(parser._body_buffer[:200]).decode(errors="replace"))  # noqa: SLF001
    # Only the final empty line is missing: nothing of the answer is lost.
    answer.done = answer.done or stream.cut_off().strip() == DONE
    if not answer.done and not answer.events:
        answer.detail = f"no event came; the answer is {_header(parser, 'Content-Type') or 'of no type'}"
    return bool(parser.message_complete and not parser.should_close())


def _header(parser: HTTPResponse, name: str) -> str:
    value = parser.get(name)
    return value if isinstance(value, str) else ""
