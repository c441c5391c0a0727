"""The console of a container with stdin: what is attached sees its output, and can type."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcluster import polling, spawn
from localcluster.node.process import console

MANY = b"0123456789abcdef" * 2**17  # 2 MiB: more than a pipe holds, and than a client may send ahead


@contextmanager
def holding(folder: Path, kind: str, life: str, *command: str) -> Iterator[spawn.Child]:
    tty = "take" if kind == "terminal" else "leave"
    words = [sys.executable, "-I", "-S", console.__file__, str(folder), kind, life, tty, *command]
    child = spawn.popen(words, log=folder / "log")
    polling.until((folder / console.NAME).exists, "the console", seconds=10)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def attach(folder: Path) -> socket.socket:
    handle, name = console.place(folder)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(20)

    def there() -> bool:
        try:
            client.connect(name)
        except ConnectionRefusedError:  # it has bound its socket, and does not listen yet
            return False
        return True

    polling.until(there, "the console to listen", seconds=10)
    os.close(handle)
    return client


def heard(client: socket.socket, until: bytes = b"\0") -> dict[int, bytes]:
    """By channel, until the end or until something was said."""
    found: dict[int, bytes] = {}
    while message := client.recv(2**18):
        found[message[0]] = found.get(message[0], b"") + message[1:]
        if until in message[1:]:
            break
    return found


def typed(client: socket.socket, data: bytes) -> None:
    for start in range(0, len(data), 30_000):
        client.send(bytes((console.STDIN,)) + data[start : start + 30_000])
    client.send(bytes((console.CLOSE, console.STDIN)))


def test_much_goes_in_and_out_at_once_and_the_end_of_stdin_ends_it(tmp_path: Path) -> None:
    with holding(tmp_path, "pipes", "once", "/bin/cat") as child, attach(tmp_path) as client:
        typing = threading.Thread(target=typed, args=(client, MANY))
        typing.start()
        assert heard(client) == {console.STDOUT: MANY}
        typing.join()
        assert child.wait() == 0
    assert (tmp_path / "log").read_bytes() == MANY


def test_both_outputs_reach_everybody_and_the_exit_status_is_the_commands(tmp_path: Path) -> None:
    script = "read line; echo out $line; echo err >&2; exit 3"
    with holding(tmp_path, "pipes", "stays", "/bin/sh", "-c", script) as child:
        with attach(tmp_path) as one, attach(tmp_path) as other:
            other.send(bytes((console.STDIN,)) + b"x\n")
            wanted = {console.STDOUT: b"out x\n", console.STDERR: b"err\n"}
            assert heard(one) == heard(other) == wanted
        assert child.wait() == 3


def test_stdin_that_stays_outlives_its_clients(tmp_path: Path) -> None:
    with holding(tmp_path, "pipes", "stays", "/bin/cat") as child:
        with attach(tmp_path) as first:
            typed(first, b"one\n")
            assert heard(first, b"one") == {console.STDOUT: b"one\n"}
        with attach(tmp_path) as second:
            typed(second, b"two\n")
            assert heard(second, b"two") == {console.STDOUT: b"two\n"}
        assert child.poll() is None


def test_a_terminal_has_a_size_and_hands_on_control_c(tmp_path: Path) -> None:
    # The shell waits by itself: one about to fork when the signal comes would first wait for its child.
    sized = "until [ \"$(stty size)\" = '17 91' ]; do :; done"
    script = f"{sized}; trap 'echo stopped; exit 4' INT; echo go; while :; do :; done"
    with holding(tmp_path, "terminal", "once", "/bin/sh", "-c", script) as child:
        with attach(tmp_path) as client:
            client.send(bytes((console.RESIZE,)) + b'{"Width": 91, "Height": 17}')
            heard(client, b"go")
            client.send(bytes((console.STDIN,)) + b"\x03")
            assert b"stopped" in heard(client)[console.STDOUT]
        assert child.wait() == 4
