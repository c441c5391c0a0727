"""Pods that use too much of their node's disk: when the kubelet evicts, and its messages.

Looks at sizes on disk; ends nothing. Volumes in memory don't count; the kernel limits them.
https://kubernetes.io/docs/concepts/storage/ephemeral-storage/#how-pods-with-ephemeral-storage-limits-run
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from localcluster.api import Json
from localcluster.node.pod import records
from localcluster.node.pod.memory import is_in_memory
from localcluster.quantities import amount

STORAGE = "ephemeral-storage"
MUCH = 16 * 2**20
"""Bytes less on the disk, after which it is worth a look at who took them."""
_BLOCK = 512  # bytes, in which the system counts what a file takes
_CRITICAL = 2_000_000_000  # from this priority on, the kubelet does not evict


@dataclass(frozen=True)
class Usage:
    """Bytes on disk: of each emptyDir, and of each container with its writable layer and its logs."""

    volumes: Mapping[str, int]
    containers: Mapping[str, int]

    @property
    def total(self) -> int:
        """Of the whole pod."""
        return sum(self.volumes.values()) + sum(self.containers.values())


def is_limited(spec: Json) -> bool:
    """Whether there is anything to look after."""
    if spec.get("priority", 0) >= _CRITICAL:
        return False
    return any(_size_limit(v) for v in _on_disk(spec)) or any(_limit(c) for c in _all(spec))


def free(folder: Path) -> int:
    """Bytes that are free on the disk of a folder."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def clear(spec: Json, folder: Path) -> None:
    """Give back what an evicted pod took: its volumes, and what its containers wrote. Their logs stay."""
    for volume in _on_disk(spec):
        records.remove(folder / "volumes" / volume["name"])
    for container in _all(spec):
        for run in records.runs(folder / container["name"]):
            records.remove(run / "rw")


def measure(spec: Json, folder: Path) -> Usage:
    """What a pod uses now; `folder` is the pod's."""
    return Usage(
        {v["name"]: taken([folder / "volumes" / v["name"]]) for v in _on_disk(spec)},
        {c["name"]: taken(_written(folder / c["name"])) for c in _all(spec)},
    )


def exceeded(spec: Json, usage: Usage) -> str:
    """Why the pod is evicted, in the kubelet's words; empty if it stays within its limits."""
    for volume in _on_disk(spec):
        limit = _size_limit(volume)
        if limit and usage.volumes.get(volume["name"], 0) > amount(limit):
            return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". '
    total = _pod_limit(spec)
    if total and usage.total > amount(total):
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {total}. "
    for container in _lasting(spec):
        limit = _limit(container)
        if limit and usage.containers.get(container["name"], 0) > amount(limit):
            return f'Container {container["name"]} exceeded its local ephemeral storage limit "{limit}". '
    return ""


def _on_disk(spec: Json) -> list[Json]:
    return [v for v in spec.get("volumes", ()) if "emptyDir" in v and not is_in_memory(v)]


def _all(spec: Json) -> list[Json]:
    return [*(spec.get("initContainers") or ()), *spec["containers"]]


def _lasting(spec: Json) -> list[Json]:
    """The containers and sidecars; other init containers count only for the pod as a whole."""
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    return [*spec["containers"], *sidecars]


def _size_limit(volume: Json) -> str:
    limit = str((volume["emptyDir"] or {}).get("sizeLimit", ""))
    return limit if limit and amount(limit) > 0 else ""


def _limit(container: Json) -> str:
    limit = str(((container.get("resources") or {}).get("limits") or {}).get(STORAGE, ""))
    return limit if limit and amount(limit) > 0 else ""


def _pod_limit(spec: Json) -> str:
    """What the containers together can use, as a quantity; those without a limit add nothing."""
    lasting = [limit for c in _lasting(spec) if (limit := _limit(c))]
    names = {c["name"] for c in _lasting(spec)}
    before = [limit for c in _all(spec) if c["name"] not in names and (limit := _limit(c))]
    most = max(sum(int(amount(limit)) for limit in lasting), *(int(amount(b)) for b in before), 0)
    same = next((limit for limit in (*lasting, *before) if int(amount(limit)) == most), "")
    return same or (_quantity(most, binary=(lasting or before)[0].endswith("i")) if most else "")


def _quantity(number: int, *, binary: bool) -> str:
    """As Kubernetes writes it: the largest unit that leaves a whole number."""
    step, end = (1024, "i") if binary else (1000, "")
    units = [""] + [f"{letter}{end}" for letter in ("KMGTPE" if binary else "kMGTPE")]
    place = 0
    while number % step == 0 and number and place < len(units) - 1:
        number, place = number // step, place + 1
    return f"{number}{units[place]}"


def _written(container: Path) -> Iterator[Path]:
    """What a container wrote: the layer of its latest run, and all of its logs."""
    runs = records.runs(container)
    if runs:
        yield runs[-1] / "rw"
    yield from container.glob("*.log")


def taken(places: Iterable[Path]) -> int:
    """Bytes on disk below these places, a file with several names counted once; no link is followed."""
    seen: dict[tuple[int, int], int] = {}
    for place in places:
        for path in _entries(place):
            try:
                found = os.lstat(path)
            except OSError:  # deleted meanwhile
                continue
            seen[found.st_dev, found.st_ino] = found.st_blocks * _BLOCK
    return sum(seen.values())


def _entries(place: Path) -> Iterator[str]:
    yield str(place)
    for folder, names, files in os.walk(place):
        yield from (os.path.join(folder, name) for name in (*names, *files))  # noqa: PTH118 - the hot path
