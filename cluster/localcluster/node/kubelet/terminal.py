"""Our end of a terminal: input, output and size.

Starts nothing: the caller opens the terminal and passes the descriptor, which is closed with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import struct
import termios


class Terminal:
    """A terminal with its two streams."""

    def __init__(self, handle: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._handle = handle
        self.reader = reader
        self.writer = writer

    @classmethod
    async def on(cls, handle: int) -> Terminal:
        """Take the descriptor over."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(handle), "rb", 0)
        )
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(os.dup(handle), "wb", 0)
        )
        return cls(handle, reader, asyncio.StreamWriter(transport, protocol, None, loop))

    def resize(self, size: bytes) -> None:
        """Set its size, `{"Width": 80, "Height": 24}`."""
        with contextlib.suppress(ValueError, KeyError, TypeError, struct.error, OSError):
            data = json.loads(size)
            window = struct.pack("HHHH", data["Height"], data["Width"], 0, 0)
            fcntl.ioctl(self._handle, termios.TIOCSWINSZ, window)

    def close(self) -> None:
        """Close it."""
        self.writer.close()
        os.close(self._handle)
