"""What every sandbox of the lab lacks, for RUN and for containers: capabilities, writable kernel settings.

A capability in its own user namespace is enough to make a read-only mount writable again, and the host's
folders with it. And where labkit itself runs as root, so does the container: root needs no capability to
write below /proc/sys. The list is that of container runtimes.
Source: https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md (maskedPaths, readonlyPaths)
"""

from __future__ import annotations

from pathlib import Path

NO_CAPABILITIES = ("--cap-drop", "ALL")
_READ_ONLY = ("acpi", "bus", "fs", "irq", "scsi", "sys", "sysrq-trigger")
_HIDDEN = ("kcore", "keys", "latency_stats", "sched_debug", "timer_list")


def proc() -> list[str]:
    """The options for a separate /proc in which nothing of the host can be changed."""
    words = ["--proc", "/proc"]
    for name in _READ_ONLY:
        if Path("/proc", name).exists():
            words += ["--ro-bind", f"/proc/{name}", f"/proc/{name}"]
    for name in _HIDDEN:
        if Path("/proc", name).exists():
            words += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    return words
