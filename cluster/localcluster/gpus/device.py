"""A simulated GPU, or a slice of one: its properties, its place, and a UUID that follows from them.

Identity outlives every process: the same place always has the same UUID.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from localcluster.gpus.sharing import Slice

_NAMESPACE = uuid.UUID("0b5f0c61-6d0e-5f0f-9c43-7f2ad2f3f5d4")  # any fixed one will do


@dataclass(frozen=True)
class Device:
    """One simulated GPU, or a MIG slice of one (`parent` is that GPU's UUID, `profile` what it is of it).

    `memory_mib` is what `nvidia-smi` would call its total memory.
    """

    uuid: str
    product: str
    memory_mib: int
    index: int
    node: str
    parent: str = ""
    profile: str = ""


def device_uuid(*, lab: str, node: str, index: int) -> str:
    """The same UUID for the same place, always.

    >>> device_uuid(lab="lab", node="gpu-node-1", index=0)
    'GPU-d7c17293-14d2-5055-bba8-df07668a98e5'
    """
    return f"GPU-{uuid.uuid5(_NAMESPACE, f'{lab}/{node}/{index}')}"


def devices_of(*, lab: str, node: str, count: int, product: str, memory_mib: int) -> tuple[Device, ...]:
    """All devices of one node, by index."""
    return tuple(
        Device(device_uuid(lab=lab, node=node, index=i), product, memory_mib, i, node) for i in range(count)
    )


def slices_of(device: Device, cut: Slice) -> tuple[Device, ...]:
    """The MIG slices of one GPU; each always has the same UUID, too."""

    def name(i: int) -> str:
        return f"MIG-{uuid.uuid5(_NAMESPACE, f'{device.uuid}/{cut.profile}/{i}')}"

    first = device.index * cut.count
    return tuple(
        Device(name(i), cut.product, cut.memory_mib, first + i, device.node, device.uuid, cut.profile)
        for i in range(cut.count)
    )
