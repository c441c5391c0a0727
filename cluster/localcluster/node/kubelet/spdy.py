"""SPDY/3.1 frames and streams, the server's side: what `kubectl port-forward` speaks inside a WebSocket.

Bytes come in through `Connection.take` and go out through the function passed to it; there is no socket here.
No flow control, as in the library that Kubernetes uses (moby/spdystream): a stream that is not read blocks
the connection. Refuses streams that the server would open.
Source: https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY = 1, 2, 3, 6, 7
_CONTROL, _VERSION, _FIN = 0x80000000, 3, 0x01
_CANCEL = 5  # status of a RST_STREAM: the stream is no longer wanted
_FRAME = 16 * 1024  # bytes of data that go into one frame
_WAITING = 64  # frames of one stream that may wait to be read

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges "
    "age allow authorization cache-control connection content-base content-encoding content-language "
    "content-length content-location content-md5 content-range content-type date etag expect expires from "
    "host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location "
    "max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer "
    "transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200|OK version "
    "HTTP/1.1 url public set-cookie keep-alive origin"
)
_REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _text(value: str) -> bytes:
    return struct.pack(">I", len(value)) + value.encode("latin-1")


DICTIONARY = b"".join(_text(word.replace("|", " ")) for word in _WORDS.split()) + _REST.encode()
"""The initial dictionary for compressing header blocks (section 2.6.10.1)."""

Send = Callable[[bytes], Awaitable[None]]


@dataclass
class Stream:
    """One stream that the client opened; `headers` have names in lower case."""

    number: int
    headers: Mapping[str, str]
    _send: Send
    _blocks: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(_WAITING))
    reset: asyncio.Event = field(default_factory=asyncio.Event)  # the client wants no more of it

    async def take(self, data: bytes, *, last: bool) -> None:
        """What the client sent; waits while too much of it is unread."""
        for block in (*([data] if data else []), *([b""] if last else [])):
            if not self.reset.is_set():
                await self._blocks.put(block)

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""
        return await self._blocks.get()

    def drop(self) -> None:
        """It will not be read any more: writers that wait for space continue."""
        self.reset.set()
        while not self._blocks.empty():
            self._blocks.get_nowait()

    async def write(self, data: bytes) -> None:
        """To the client."""
        for start in range(0, len(data), _FRAME):
            await self._send(_data(self.number, data[start : start + _FRAME]))

    async def close(self) -> None:
        """Nothing more will come from us."""
        await self._send(_data(self.number, b"", flags=_FIN))


class Connection:
    """All streams of one client."""

    def __init__(self, send: Send, opened: Callable[[Stream], None]) -> None:
        self._send = send
        self._opened = opened
        self._bytes = bytearray()
        self._streams: dict[int, Stream] = {}
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self.gone = False  # the client sent GOAWAY

    async def take(self, data: bytes) -> None:
        """Bytes from the client, cut anywhere. Raises `ValueError` for invalid SPDY."""
        self._bytes += data
        while len(self._bytes) >= 8:
            first, second = struct.unpack(">II", self._bytes[:8])
            length, flags = second & 0xFFFFFF, second >> 24
            if len(self._bytes) < 8 + length:
                return
            payload = bytes(self._bytes[8 : 8 + length])
            del self._bytes[: 8 + length]
            if first & _CONTROL:
                await self._control(first, flags, payload)
            elif stream := self._streams.get(first):
                await stream.take(payload, last=bool(flags & _FIN))

    async def _control(self, first: int, flags: int, payload: bytes) -> None:
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != _VERSION:
            raise ValueError(f"SPDY version {version} instead of 3")
        try:
            number = struct.unpack(">I", payload[:4])[0]
        except struct.error as error:
            raise ValueError(f"a SPDY frame of kind {kind} without content") from error
        if kind == _SYN_STREAM:
            await self._open(number & ~_CONTROL, flags, payload[10:])
        elif kind == _RST_STREAM and (stream := self._streams.pop(number, None)):
            stream.drop()
        elif kind == _PING:
            await self._send(_frame(_PING, payload))
        elif kind == _GOAWAY:
            self.gone = True

    async def _open(self, number: int, flags: int, block: bytes) -> None:
        stream = Stream(number, self._headers(block), self._send)
        self._streams[number] = stream
        none = self._deflate.compress(struct.pack(">I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        await self._send(_frame(_SYN_REPLY, struct.pack(">I", number) + none))
        if flags & _FIN:
            await stream.take(b"", last=True)
        self._opened(stream)

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            words = _words(self._inflate.decompress(block))
        except (zlib.error, struct.error) as error:
            raise ValueError(f"a SPDY header block can't be read: {error}") from error
        return dict(zip(words[::2], words[1::2], strict=True))

    def forget(self, *streams: Stream) -> None:
        """They are over."""
        for stream in streams:
            self._streams.pop(stream.number, None)

    async def refuse(self, stream: Stream) -> None:
        """RST_STREAM."""
        self.forget(stream)
        await self._send(_frame(_RST_STREAM, struct.pack(">II", stream.number, _CANCEL)))


def _words(text: bytes) -> list[str]:
    """Names and values in turn."""
    (pairs,), place, found = struct.unpack(">I", text[:4]), 4, []
    for _ in range(2 * pairs):
        (length,) = struct.unpack(">I", text[place : place + 4])
        found.append(text[place + 4 : place + 4 + length].decode("latin-1"))
        place += 4 + length
    return found


def _frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">II", _CONTROL | _VERSION << 16 | kind, len(payload)) + payload


def _data(number: int, payload: bytes, *, flags: int = 0) -> bytes:
    return struct.pack(">II", number, flags << 24 | len(payload)) + payload
