"""What a holder reports about its use of a simulated GPU: the small files in a device's `usage/` folder.

The model server writes one file for each device it holds, about twice a second. A file that has not been
written for a while belongs to a dead process: its memory is free, as with a real driver. Refuses to guess: an
incomplete or invalid file is ignored.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FRESH_SECONDS = 3.0  # real time; six of the writer's rounds
_MOST_BYTES = 64 * 1024


@dataclass(frozen=True)
class Usage:
    """One holder's share of one device; memory in MiB, utilization 0 to 1, power in watts."""

    holder: str  # the file's name without its ending: a pod uid or a container id
    pod_uid: str
    memory_used_mib: float
    gpu_utilization: float
    sm_seconds_total: float
    host_cpu_seconds_total: float
    power_watts: float
    updated: float  # seconds since the epoch

    @classmethod
    def load(cls, path: Path) -> Usage | None:
        """Read one file; None if it is missing or invalid."""
        try:
            data = json.loads(_content(path))
            return cls(
                holder=path.stem,
                pod_uid=str(data.get("pod_uid", path.stem)),
                memory_used_mib=_number(data, "memory_used_mib"),
                gpu_utilization=min(1.0, _number(data, "gpu_utilization")),
                sm_seconds_total=_number(data, "sm_seconds_total"),
                host_cpu_seconds_total=_number(data, "host_cpu_seconds_total"),
                power_watts=_number(data, "power_watts"),
                updated=_number(data, "updated"),
            )
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return None

    def fresh(self, now: float | None = None) -> bool:
        """Whether its writer was alive a moment ago."""
        return (time.time() if now is None else now) - self.updated < FRESH_SECONDS


def _content(path: Path) -> bytes:
    """A container wrote it: never follow a link, wait for a pipe or read endlessly."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        return file.read(_MOST_BYTES)


@dataclass(frozen=True)
class Load:
    """All holders of one device together."""

    memory_used_mib: float
    gpu_utilization: float
    sm_seconds_total: float
    power_watts: float


def usage_files(devices: Iterable[Path], holders: Iterable[str]) -> tuple[Path, ...]:
    """Where a container reports: the lab's server uses its container's name, others their pod's."""
    names = [f"{holder}.json" for holder in holders]
    return tuple(device / "usage" / name for device in devices for name in names)


def host_cpu_seconds(files: Iterable[Path], *, since: float = 0.0) -> float:
    """Host CPU seconds that a real server would have used, as one container's files say.

    A server on several GPUs writes its one figure for each of them, so the largest counts. Files that were
    last written before `since` (seconds since the epoch) belong to an earlier run.
    """
    found = (Usage.load(file) for file in files)
    return max((u.host_cpu_seconds_total for u in found if u and u.updated >= since), default=0.0)


def total(usages: list[Usage]) -> Load | None:
    """The sum over a device's fresh usages (utilization at most 1); None if it is not used."""
    if not usages:
        return None
    return Load(
        memory_used_mib=sum(u.memory_used_mib for u in usages),
        gpu_utilization=min(1.0, sum(u.gpu_utilization for u in usages)),
        sm_seconds_total=sum(u.sm_seconds_total for u in usages),
        power_watts=sum(u.power_watts for u in usages),
    )


def _number(data: dict[str, object], key: str) -> float:
    value = data.get(key, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{key} is not a number")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{key} is {value}")
    return float(value)
