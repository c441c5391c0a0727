"""Moves bytes between pairs of sockets: the busiest loop of the lab, so it has a thread of its own.

Every streamed token passes through here, so there is no coroutine, protocol object or copy for each chunk:
one `recv_into`, one `send`. A slow reader stops its writer (nothing is read for it while something is
pending), a half-closed connection stays open the other way, a reset is passed on as one. Refuses to look at
the bytes.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections import deque

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s: close() sends RST instead of FIN
_CHUNK = 64 * 1024


def reset(sock: socket.socket) -> None:
    """Close with RST: the other side sees "connection reset", not an orderly end."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


class _End:
    """One of the two sockets of a pair, and what could not yet be sent to it."""

    __slots__ = ("closed", "finished", "peer", "pending", "receive", "send", "shut", "sock", "watched")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.receive = sock.recv_into
        self.send = sock.send
        self.peer = self
        self.pending = b""
        self.finished = False  # it will send nothing more
        self.shut = False  # it knows that nothing more will come
        self.closed = False
        self.watched = 0

    def wanted(self) -> int:
        """The events to wait for: reading pauses while the peer is behind."""
        reading = 0 if self.finished or self.peer.pending else _READ
        return reading | (_WRITE if self.pending else 0)


class Relay:
    """One thread, any number of pairs; `splice` may be called from any thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._new: deque[tuple[socket.socket, socket.socket]] = deque()
        self._bell, self._ring = socket.socketpair()
        self._bell.setblocking(False)
        self._selector.register(self._bell, _READ, None)
        self._buffer = memoryview(bytearray(_CHUNK))
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def start(self) -> None:
        """Begin to move bytes."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; connections that are still open are closed."""
        self._stopping = True
        self._ring.send(b"!")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            if key.data is not None and not key.data.closed:
                self._drop(key.data)
        self._bell.close()
        self._ring.close()
        self._selector.close()

    def splice(self, one: socket.socket, other: socket.socket) -> None:
        """Take over two connected sockets and join them until both sides are done."""
        self._new.append((one, other))
        self._ring.send(b"!")

    def _run(self) -> None:
        select = self._selector.select
        while not self._stopping:
            for key, events in select():
                end = key.data
                if end is None:
                    self._adopt()
                elif not end.closed:
                    if events & _WRITE:
                        self._flush(end)
                    if events & _READ and not end.closed:
                        self._pump(end)

    def _adopt(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._bell.recv(_CHUNK)
        while self._new:
            one, other = (_End(s) for s in self._new.popleft())
            one.peer, other.peer = other, one
            for end in (one, other):
                end.sock.setblocking(False)
                with contextlib.suppress(OSError):  # already reset: the first read will show it
                    end.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._watch(end)

    def _pump(self, end: _End) -> None:
        """Pass on what `end` has sent."""
        size = sent = 0
        try:
            size = end.receive(self._buffer)
            if size:
                sent = end.peer.send(self._buffer[:size])
        except BlockingIOError:
            if not size:
                return
        except OSError:
            self._drop(end)
            return
        if not size:
            end.finished = True
            self._settle(end)
        elif sent < size:
            end.peer.pending = bytes(self._buffer[sent:size])
            self._settle(end)

    def _flush(self, end: _End) -> None:
        """Send on what `end` could not take before."""
        try:
            end.pending = end.pending[end.send(end.pending) :]
        except BlockingIOError:
            return
        except OSError:
            self._drop(end)
            return
        if not end.pending:
            self._settle(end)

    def _settle(self, end: _End) -> None:
        """After a change of state: pass on an end of stream, close what is done, watch the rest."""
        pair = (end, end.peer)
        try:
            for side in pair:
                if side.peer.finished and not side.pending and not side.shut:
                    side.shut = True
                    side.sock.shutdown(socket.SHUT_WR)
        except OSError:  # it is gone in both directions
            self._drop(end)
            return
        if end.shut and end.peer.shut:
            for side in pair:
                self._forget(side)
                side.sock.close()
            return
        for side in pair:
            self._watch(side)

    def _watch(self, end: _End) -> None:
        wanted = end.wanted()
        if wanted == end.watched:
            return
        if not end.watched:
            self._selector.register(end.sock, wanted, end)
        elif not wanted:
            self._selector.unregister(end.sock)
        else:
            self._selector.modify(end.sock, wanted, end)
        end.watched = wanted

    def _drop(self, end: _End) -> None:
        """One side failed: reset the other."""
        for side in (end, end.peer):
            self._forget(side)
            reset(side.sock)

    def _forget(self, end: _End) -> None:
        if end.watched:
            self._selector.unregister(end.sock)
        end.watched = 0
        end.closed = True
