"""What a container gets with its GPUs, whatever assigns them: environment and mounts.

The model server finds its devices by these; NVIDIA's runtime uses the same variable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.quantities import amount

RESOURCE = "nvidia.com/gpu"
MIG = "nvidia.com/mig-"
"""How the resources of MIG slices begin: `nvidia.com/mig-1g.5gb`."""
GPU_DIR = "/run/labkit/gpus"
"""Where a container sees the folders of its devices, and only of those."""


def asked(resources: Mapping[str, Any]) -> tuple[str, int]:
    """Which GPU resource a container's `resources` ask for, whole or MIG, and how many of it."""
    limits = resources.get("limits") or {}
    gpus = {name: count for name, count in limits.items() if name == RESOURCE or name.startswith(MIG)}
    found = [(name, int(amount(count))) for name, count in gpus.items()]  # the API server writes 1000 as 1k
    return next(((name, count) for name, count in found if count), (RESOURCE, 0))


@dataclass(frozen=True)
class DeviceMount:
    """A folder of this machine at a path in the container."""

    source: Path
    target: str
    read_only: bool


def environment(devices: Iterable[str]) -> dict[str, str]:
    """The variables that name the devices (UUIDs)."""
    return {"NVIDIA_VISIBLE_DEVICES": ",".join(devices), "LABKIT_GPU_DIR": GPU_DIR}


def mounts(folders: Iterable[Path]) -> Iterator[DeviceMount]:
    """Each device's folder; the container can write only to a part of it.

    In the folder itself it could create links that the node follows, or change the device's health.
    """
    for folder in folders:
        place = f"{GPU_DIR}/{folder.name}"
        yield DeviceMount(folder, place, read_only=True)
        yield DeviceMount(folder / "usage", f"{place}/usage", read_only=False)
