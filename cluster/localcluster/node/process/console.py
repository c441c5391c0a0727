"""`python -I -S console.py FOLDER KIND LIFE TTY COMMAND…`: holds the streams of a container that has stdin.

KIND is `terminal` or `pipes`; with LIFE `once` stdin ends with the first client's, with `stays` it does not;
TTY `take` makes the terminal the command's controlling one, `leave` lets the command do that. What the
container prints goes to our own stdout, its log, and to attached clients: a client of the socket `console` in
FOLDER. It outlives the agent, as the container does. A separate program; it imports nothing of localcluster.
Each message of the socket is a byte of channel, as in `v5.channel.k8s.io`, and data.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import struct
import sys
import termios
from pathlib import Path

NAME = "console"
STDIN, STDOUT, STDERR, RESIZE, CLOSE = 0, 1, 2, 4, 255
_CHUNK = 32 * 1024
_MOST = 2**20  # bytes that a container may leave unread before clients have to wait
_SLOW_SECONDS = 30  # a client that takes nothing for so long is cut off


def place(folder: Path) -> tuple[int, str]:
    """The socket's name, short enough for a socket however long the folder's is; and a handle to close."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    return handle, f"/proc/self/fd/{handle}/{NAME}"


class Console:
    """The streams of one container, and who is attached to them."""

    def __init__(self, kind: str, *, once: bool) -> None:
        self._terminal = kind == "terminal"
        self._once = once
        self._clients: set[socket.socket] = set()
        self._unread = bytearray()
        self._last = False  # stdin ends when all of it is read
        self._ears = selectors.DefaultSelector()
        if self._terminal:
            ours, theirs = os.openpty()
            self.theirs = (theirs, theirs, theirs)
            self._stdin, self._outputs = os.dup(ours), {ours: STDOUT}
        else:
            (stdin, self._stdin), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
            self.theirs = (stdin, stdout, stderr)
            self._outputs = {out: STDOUT, err: STDERR}
        for handle in (self._stdin, *self._outputs):
            os.set_blocking(handle, False)
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def listen(self, folder: Path) -> None:
        """From now on clients can attach."""
        handle, name = place(folder)
        self._server.bind(name)
        os.close(handle)
        self._server.listen()

    def run(self, ended: int) -> None:
        """Until `ended` is readable and all output is sent."""
        for each in self.theirs:
            with contextlib.suppress(OSError):  # a terminal is there three times
                os.close(each)
        for handle in (ended, self._server.fileno(), *self._outputs):
            self._ears.register(handle, selectors.EVENT_READ)
        while True:
            for key, _ in self._ears.select():
                if key.fd == ended:
                    self._last_words()
                    return
                self._serve(key)

    def _serve(self, key: selectors.SelectorKey) -> None:
        if key.fd == self._server.fileno():
            self._welcome()
        elif key.fd in self._outputs:
            self._pass_on(key.fd)
        elif key.fd == self._stdin:
            self._write()
        else:
            self._hear(key.data)

    def _welcome(self) -> None:
        client, _ = self._server.accept()
        client.settimeout(_SLOW_SECONDS)
        self._clients.add(client)
        self._ears.register(client, selectors.EVENT_READ, client)

    def _pass_on(self, handle: int) -> bool:
        """Read the container's output; False if there is no more."""
        try:
            data = os.read(handle, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # a terminal whose last user is gone
            data = b""
        if not data:
            self._ears.unregister(handle)
            return False
        with contextlib.suppress(OSError):  # a full disk loses log, as it does everywhere
            os.write(1, data)
        for client in list(self._clients):
            try:
                client.send(bytes((self._outputs[handle],)) + data)
            except OSError:
                self._leave(client)
        return True

    def _hear(self, client: socket.socket) -> None:
        try:
            message = client.recv(_CHUNK * 4)
        except OSError:
            message = b""
        if not message:
            self._leave(client)
        elif message[0] == STDIN:
            self._unread += message[1:]
            self._write()
        elif message[0] == CLOSE:
            self._close_stdin()
        elif message[0] == RESIZE and self._terminal:
            _resize(next(iter(self._outputs)), message[1:])

    def _leave(self, client: socket.socket) -> None:
        if client in self._clients:
            self._clients.remove(client)
            with contextlib.suppress(KeyError):
                self._ears.unregister(client)
            client.close()

    def _close_stdin(self) -> None:
        """A client has nothing more to say; a terminal stays open, as the container runtimes have it."""
        if self._once and not self._terminal:
            self._last = True
            self._write()

    def _write(self) -> None:
        """As much of stdin as the container takes now; where too much is left, clients wait."""
        if self._stdin < 0:
            self._unread.clear()
            return
        try:
            while self._unread:
                del self._unread[: os.write(self._stdin, self._unread[:_CHUNK])]
        except BlockingIOError:
            pass
        except OSError:  # it reads no more
            self._unread.clear()
        self._listen_to(clients=len(self._unread) < _MOST)
        self._watch_stdin()

    def _watch_stdin(self) -> None:
        watched = self._stdin in self._ears.get_map()
        if self._unread and not watched:
            self._ears.register(self._stdin, selectors.EVENT_WRITE)
        elif not self._unread and watched:
            self._ears.unregister(self._stdin)
        if self._last and not self._unread:
            os.close(self._stdin)
            self._stdin = -1

    def _listen_to(self, *, clients: bool) -> None:
        for client in self._clients:
            heard = client in self._ears.get_map()
            if clients and not heard:
                self._ears.register(client, selectors.EVENT_READ, client)
            elif heard and not clients:
                self._ears.unregister(client)

    def _last_words(self) -> None:
        for handle in self._outputs:
            while handle in self._ears.get_map() and self._pass_on(handle):
                pass
        for client in list(self._clients):
            self._leave(client)


def _resize(terminal: int, size: bytes) -> None:
    with contextlib.suppress(ValueError, KeyError, TypeError, struct.error, OSError):
        data = json.loads(size)
        window = struct.pack("HHHH", data["Height"], data["Width"], 0, 0)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, array.array("B", window))


def _become(command: list[str], streams: tuple[int, int, int], *, take: bool) -> None:
    """The container's monitor, on the streams."""
    signal.set_wakeup_fd(-1)
    for ignored in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores the last two
        signal.signal(ignored, signal.SIG_DFL)
    if take:
        os.setsid()
        fcntl.ioctl(streams[0], termios.TIOCSCTTY, 0)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.execv(command[0], command)  # noqa: S606 - there is no shell


def main(words: list[str]) -> int:
    """Run the command; its exit status."""
    folder, kind, life, tty, *command = words
    console = Console(kind, once=life == "once")
    console.listen(Path(folder))
    ended, told = os.pipe()
    os.set_blocking(told, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(told)
    child = os.fork()
    if child == 0:
        try:
            _become(command, console.theirs, take=tty == "take")
        finally:
            os._exit(127)
    console.run(ended)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
