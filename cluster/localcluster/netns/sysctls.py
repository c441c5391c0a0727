"""Settings of the kernel for the network namespace of the calling thread."""

from __future__ import annotations

import contextlib
from pathlib import Path


def write(name: str, value: str) -> None:
    """Set one, as in `net/ipv4/ip_forward`; where /proc/sys is read-only, the kernel's default stays."""
    with contextlib.suppress(OSError):
        Path("/proc/sys", name).write_text(value)


def as_in_pods() -> None:
    """Every user may use every port, and ping: as containerd sets it for its pods."""
    write("net/ipv4/ip_unprivileged_port_start", "0")
    write("net/ipv4/ping_group_range", "0 2147483647")
