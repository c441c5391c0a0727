"""Resolves a server's name to all its addresses, checks each, and connects to the first that answers.

Refuses addresses of other machines unless the load allows them: a load test on someone else's server is an
attack. A name counts as local only if all its addresses are.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from labkit.errors import BadInput

_PATIENCE = 5.0
"""Real seconds to wait for an address that doesn't answer, if there is another one to try."""


@dataclass(frozen=True)
class Address:
    """One address of a server, in the form that sockets take."""

    family: int
    socket_address: tuple[Any, ...]

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine."""
        found = ipaddress.ip_address(str(self.socket_address[0]).partition("%")[0])
        mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
        return (mapped or found).is_loopback

    def __str__(self) -> str:
        host, port = self.socket_address[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def split(url: str) -> SplitResult:
    """The parts of a server's URL; raises `BadInput` if it isn't one."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        fix = "Use http://127.0.0.1:8000, http://[::1]:8000, or lab.url(...)."
        raise BadInput(f"{url!r} is not the URL of a server.", fix=fix)
    return parts


def resolve(url: str, *, allow_remote: bool) -> list[Address]:
    """All addresses of a URL's host, in the system's order; raises `BadInput`."""
    parts = split(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BadInput(
            f"The host name {parts.hostname} can't be resolved.",
            cause="A typo, or a Service name that only pods can resolve.",
            fix="Use the address that lab.url(...) returns.",
        ) from error
    addresses = list(dict.fromkeys(Address(entry[0], entry[4]) for entry in found))
    elsewhere = [str(address) for address in addresses if not address.is_loopback]
    if elsewhere and not allow_remote:
        raise BadInput(
            f"Refused to put load on {parts.hostname}: it is not this machine ({', '.join(elsewhere)}).",
            cause="labkit only sends load to loopback, so that it doesn't hit someone else's server.",
            fix="If it is yours: Load(..., allow_remote=True), or --allow-remote.",
        )
    return addresses


def connect(addresses: list[Address]) -> socket.socket:
    """Connect to the first address that accepts, and move it to the front for the next time.

    Raises the last `OSError`, with all addresses in its text: `localhost` is often ::1 *and* 127.0.0.1.
    """
    last: OSError | None = None
    for number, address in enumerate(addresses):
        try:
            sock = _connect(address, seconds=_PATIENCE if number + 1 < len(addresses) else None)
        except OSError as error:
            last = error
            continue
        addresses.insert(0, addresses.pop(number))
        return sock
    tried = ", ".join(map(str, addresses))
    kind = type(last) if last else OSError
    raise kind(last.errno if last else None, f"no connection to {tried}: {last and last.strerror}") from last


def _connect(address: Address, *, seconds: float | None) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.settimeout(seconds)
        sock.connect(address.socket_address)
    except BaseException:
        sock.close()
        raise
    sock.settimeout(None)
    return sock
