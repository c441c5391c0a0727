"""Parses the body of a response into events, as the standard defines them.

Lines end with CR, LF or CRLF (even one split between two pieces), one space after a colon is dropped, several
`data` lines of an event are joined by LF; comments, unknown fields and a leading byte order mark are ignored.
An event ends with an empty line: one that the end of the stream cuts off does not count.
Standard: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

_ENDS = re.compile(rb"\r\n|\n|\r")


class EventStream:
    """Feed it the pieces as they arrive, and get the data of each complete event.

    The fields `event`, `id` and `retry` are ignored: nothing here depends on an event's type, and a broken
    request is not repeated.
    """

    def __init__(self) -> None:
        self._data: list[bytes] = []  # of the current event
        self._line = b""  # whose end has not been seen yet
        self._after_cr = False
        self._begun = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The data of each event that ends in this piece."""
        if self._after_cr and piece:
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        text = self._line + piece
        if not self._begun:
            if codecs.BOM_UTF8.startswith(text):  # a whole mark, or too little to know
                self._line = text
                return
            text, self._begun = text.removeprefix(codecs.BOM_UTF8), True
        *lines, self._line = _ENDS.split(text)
        self._after_cr = self._after_cr or text.endswith(b"\r")
        for line in lines:
            if line:
                self._take(line)
            elif self._data:
                yield b"\n".join(self._data)
                self._data = []

    def cut_off(self) -> bytes:
        """The data of an event that the end of the stream left without its empty line."""
        if self._line:
            self._take(self._line)
            self._line = b""
        return b"\n".join(self._data)

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
