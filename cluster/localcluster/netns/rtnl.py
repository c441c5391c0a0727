"""Just enough rtnetlink for the lab's network: veth pairs, addresses, routes. Needs no `ip` and no library.

Works on the namespace in which its socket was made. Sources: rtnetlink(7), netlink(7), linux/if_link.h.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from typing import Self

_NEWLINK, _NEWADDR, _NEWROUTE = 16, 20, 24
_REQUEST, _ACK, _REPLACE, _EXCLUSIVE, _CREATE = 1, 4, 0x100, 0x200, 0x400
_IFNAME, _MTU, _LINKINFO, _AF_SPEC, _NET_NS_FD = 3, 4, 18, 26, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_ADDRESS, _LOCAL = 1, 2
_DST, _OIF, _VIA, _SOURCE = 1, 4, 5, 7
_INET_CONF, _FORWARDING = 1, 1
_UP = 1
_MAIN, _LOCAL_TABLE = 254, 255
_STATIC, _UNICAST, _LOCAL_ROUTE = 4, 1, 2
_GLOBAL, _LINK, _HOST = 0, 253, 254
_ERROR = 2
MTU = 65535
"""Nothing leaves the machine, so packets are as large as loopback's."""


class Netlink:
    """A netlink socket; also a context manager that closes it. Every call raises `OSError` if refused."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._sock.bind((0, 0))
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def up(self, name: str) -> None:
        """Turn a link on."""
        self._call(_NEWLINK, 0, struct.pack("BxHiII", 0, 0, _index(name), _UP, _UP))

    def forward(self, name: str) -> None:
        """Let packets that arrive on a link be passed on; works where /proc/sys is read-only, too."""
        conf = _attribute(_INET_CONF, _attribute(_FORWARDING, struct.pack("I", 1)))
        family = _attribute(_AF_SPEC, _attribute(socket.AF_INET, conf))
        self._call(_NEWLINK, 0, struct.pack("BxHiII", 0, 0, _index(name), 0, 0) + family)

    def address(self, name: str, ip: str) -> None:
        """Give a link the address `ip`/32; nothing happens if it has it."""
        raw = socket.inet_aton(ip)
        body = struct.pack("BBBBi", socket.AF_INET, 32, 0, 0, _index(name))
        with suppress(FileExistsError):
            words = _attribute(_LOCAL, raw) + _attribute(_ADDRESS, raw)
            self._call(_NEWADDR, _CREATE | _EXCLUSIVE, body + words)

    def route(self, to: str, name: str, *, via: str = "", source: str = "") -> None:
        """Route a network (`10.96.0.0/16`) or an address to a link; replaces an earlier route."""
        ip, _, length = to.partition("/")
        words = _attribute(_OIF, struct.pack("i", _index(name)))
        for kind, value in ((_DST, ip if length != "0" else ""), (_VIA, via), (_SOURCE, source)):
            words += _attribute(kind, socket.inet_aton(value)) if value else b""
        self._new_route(int(length or 32), (_MAIN, _GLOBAL if via else _LINK, _UNICAST), words)

    def own(self, network: str, name: str) -> None:
        """Make every address of a network this machine's own (`ip route add local`)."""
        ip, _, length = network.partition("/")
        words = _attribute(_OIF, struct.pack("i", _index(name))) + _attribute(_DST, socket.inet_aton(ip))
        self._new_route(int(length), (_LOCAL_TABLE, _HOST, _LOCAL_ROUTE), words)

    def veth(self, name: str, peer: str, peer_namespace: int | None = None) -> None:
        """A pair of links; the peer goes to the namespace of an open descriptor, if one is given."""
        mtu = _attribute(_MTU, struct.pack("I", MTU))
        there = struct.pack("BxHiII", 0, 0, 0, 0, 0) + _attribute(_IFNAME, _text(peer)) + mtu
        if peer_namespace is not None:
            there += _attribute(_NET_NS_FD, struct.pack("I", peer_namespace))
        info = _attribute(_INFO_KIND, b"veth") + _attribute(_INFO_DATA, _attribute(_VETH_PEER, there))
        words = _attribute(_IFNAME, _text(name)) + mtu + _attribute(_LINKINFO, info)
        self._call(_NEWLINK, _CREATE | _EXCLUSIVE, struct.pack("BxHiII", 0, 0, 0, 0, 0) + words)

    def _new_route(self, length: int, how: tuple[int, int, int], words: bytes) -> None:
        table, scope, kind = how
        head = struct.pack("BBBBBBBBI", socket.AF_INET, length, 0, 0, table, _STATIC, scope, kind, 0)
        self._call(_NEWROUTE, _CREATE | _REPLACE, head + words)

    def _call(self, kind: int, flags: int, body: bytes) -> None:
        self._number += 1
        head = struct.pack("IHHII", 16 + len(body), kind, _REQUEST | _ACK | flags, self._number, 0)
        self._sock.send(head + body)
        answer = self._sock.recv(65536)
        (answered,) = struct.unpack_from("H", answer, 4)
        (error,) = struct.unpack_from("i", answer, 16)
        if answered != _ERROR:
            raise OSError(f"rtnetlink answered with a message of type {answered}")
        if error:
            raise OSError(-error, os.strerror(-error))


def _index(name: str) -> int:
    return socket.if_nametoindex(name)  # of the calling thread's namespace


def _text(word: str) -> bytes:
    return word.encode() + b"\0"


def _attribute(kind: int, data: bytes) -> bytes:
    size = 4 + len(data)
    return struct.pack("HH", size, kind) + data + bytes(-size % 4)
