"""Asks the lab's edge: for a door (a port of 127.0.0.1 that leads to an address in the lab), or for a socket.

A socket that the edge made keeps its network, so whoever gets it talks to the lab, or to the internet,
without any process in between.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from localcluster import stored

OUTSIDE = "edge.sock"
"""The Unix socket of the process outside: doors, sockets that lead out of the lab, names of other hosts."""

INSIDE = "inside.sock"
"""The Unix socket of the process in the lab: connected sockets."""

REMEMBERED = "doors.json"
"""Which port leads where, for an edge that is started again."""

_SECONDS = 15.0
_BYTES = 65536


def door(lab_dir: Path, target: str) -> str:
    """`127.0.0.1:port` for `ip:port` in the lab; the same one each time. Raises `OSError`."""
    reply, _ = _ask(lab_dir / OUTSIDE, {"door": target})
    return f"127.0.0.1:{reply['port']}"


def known(lab_dir: Path) -> dict[str, int]:
    """The doors that are open: target and port."""
    return stored.find(lab_dir / REMEMBERED, dict[str, int]) or {}


def connected(edge: Path, target: str) -> socket.socket:
    """A socket that is connected to `ip:port` in the lab; `edge` is the Unix socket INSIDE."""
    _, handles = _ask(edge, {"connect": target})
    return socket.socket(fileno=handles[0])


def outward(lab_dir: Path, family: int) -> socket.socket:
    """A socket, not yet connected, that leads out of the lab."""
    _, handles = _ask(lab_dir / OUTSIDE, {"socket": family})
    return socket.socket(fileno=handles[0])


def resolved(lab_dir: Path, host: str, port: int) -> list[tuple[int, str]]:
    """Family and address of each answer of this machine's own resolver."""
    reply, _ = _ask(lab_dir / OUTSIDE, {"resolve": host, "port": port})
    return [(family, address) for family, address in reply["addresses"]]


def split(target: str) -> tuple[str, int]:
    """Host and port of `ip:port`; raises `ValueError`."""
    host, _, port = target.rpartition(":")
    if not 0 < int(port) < 65536:
        raise ValueError(f"{port} is not a port")
    return str(IPv4Address(host)), int(port)


@contextlib.contextmanager
def folder(path: Path) -> Iterator[str]:
    """A short path of a folder while it is open: those of Unix sockets have at most 107 bytes."""
    handle = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def _ask(edge: Path, request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock, folder(edge.parent) as short:
        sock.settimeout(_SECONDS)
        sock.connect(f"{short}/{edge.name}")
        sock.send(json.dumps(request).encode())
        word, handles, _, _ = socket.recv_fds(sock, _BYTES, 1)
    for each in handles:
        os.set_inheritable(each, False)
    if not word:
        raise ConnectionResetError("the lab's edge ended")
    reply: dict[str, Any] = json.loads(word)
    if "error" in reply:
        raise ConnectionError(reply["error"])
    return reply, handles
