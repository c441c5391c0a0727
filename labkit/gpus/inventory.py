"""The GPUs of the simulated nodes: which exist, which are healthy, who holds which.

A device is a folder `<lab>/gpus/<uuid>/` with a `device.json`; its identity follows from lab, node and index,
so that it outlives every process. The inventory knows devices and holders and nothing of Kubernetes: the node
agent and the device plugin both use it. Refuses to give one device to two holders.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from labkit._proc import write_atomically
from labkit.errors import LabError
from labkit.gpus.usage import Usage

_NAMESPACE = uuid.UUID("0b5f0c61-6d0e-5f0f-9c43-7f2ad2f3f5d4")  # any fixed one will do
_UNHEALTHY = "unhealthy"  # a file in the device's folder; its text is the reason


class NoFreeGpu(LabError):
    """Fewer healthy, unheld devices than were asked for."""


@dataclass(frozen=True)
class Device:
    """One simulated GPU; `memory_mib` is what `nvidia-smi` would call its total memory."""

    uuid: str
    product: str
    memory_mib: int
    index: int
    node: str


def device_uuid(*, lab: str, node: str, index: int) -> str:
    """The same UUID for the same place, for ever.

    >>> device_uuid(lab="lab", node="gpu-node-1", index=0)
    'GPU-d7c17293-14d2-5055-bba8-df07668a98e5'
    """
    return f"GPU-{uuid.uuid5(_NAMESPACE, f'{lab}/{node}/{index}')}"


def devices_of(*, lab: str, node: str, count: int, product: str, memory_mib: int) -> tuple[Device, ...]:
    """All devices of one node, by index."""
    return tuple(
        Device(device_uuid(lab=lab, node=node, index=i), product, memory_mib, i, node) for i in range(count)
    )


class Inventory:
    """The devices under one folder and their holders; a holder is any name that its caller chooses.

    Who holds what is kept in memory: the caller persists it with whatever it hands the devices to, and
    calls `restore` after a restart.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._devices: dict[str, Device] = {}
        self._holders: dict[str, str] = {}  # uuid -> holder

    def add(self, devices: Iterable[Device]) -> None:
        """Make the devices known and write their folders; what is there already stays."""
        for device in devices:
            self._devices[device.uuid] = device
            (self.path(device.uuid) / "usage").mkdir(parents=True, exist_ok=True)
            record = self.path(device.uuid) / "device.json"
            text = json.dumps(asdict(device))
            if not record.exists() or record.read_text() != text:
                write_atomically(record, text, mode=0o644)

    def remove(self, node: str) -> None:
        """Forget a node's devices and delete their folders."""
        for device in self.devices(node):
            del self._devices[device.uuid]
            self._holders.pop(device.uuid, None)
            shutil.rmtree(self.path(device.uuid), ignore_errors=True)

    def path(self, device: str) -> Path:
        """The folder of a device."""
        return self.folder / device

    def devices(self, node: str | None = None) -> list[Device]:
        """Devices by node and index; of all nodes where none is named."""
        found = [d for d in self._devices.values() if node is None or d.node == node]
        return sorted(found, key=lambda d: (d.node, d.index))

    def device(self, uuid: str) -> Device:
        """The device of that UUID."""
        return self._devices[uuid]

    def free(self, node: str) -> list[Device]:
        """Healthy devices that nobody holds, lowest index first."""
        return [d for d in self.devices(node) if d.uuid not in self._holders and not self.illness(d.uuid)]

    def allocate(self, holder: str, *, node: str, count: int) -> tuple[str, ...]:
        """Give `count` devices to `holder`; the same ones again where it holds that many already.

        Raises `NoFreeGpu` and gives nothing where there are too few.
        """
        held = self.held(holder)
        if len(held) == count:
            return held
        free = self.free(node)
        if held or len(free) < count:
            raise NoFreeGpu(
                f"{holder} asks for {count} GPUs of {node}: {len(free)} are free, it holds {len(held)}.",
                cause="a device became unhealthy, or an ending container has not let go yet",
                fix=f"`kubectl describe node {node}` shows what is allocated",
            )
        chosen = tuple(d.uuid for d in free[:count])
        self._holders |= dict.fromkeys(chosen, holder)
        return chosen

    def release(self, holder: str) -> None:
        """Take all devices back and wipe what the holder wrote; fine where it holds none."""
        for device in self.held(holder):
            del self._holders[device]
            self.wipe(device)

    def wipe(self, device: str) -> None:
        """Delete what holders wrote about a device."""
        for entry in (self.path(device) / "usage").iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)

    def restore(self, held: Mapping[str, Iterable[str]]) -> None:
        """Take over what holders had before a restart (holder -> UUIDs); unknown devices are left out."""
        for holder, devices in held.items():
            self._holders |= {d: holder for d in devices if d in self._devices}

    def held(self, holder: str) -> tuple[str, ...]:
        """The devices of one holder, by index."""
        return tuple(d.uuid for d in self.devices() if self._holders.get(d.uuid) == holder)

    def holder(self, device: str) -> str | None:
        """Who holds a device."""
        return self._holders.get(device)

    def illness(self, device: str) -> str | None:
        """Why a device is unhealthy; None for a healthy one."""
        try:
            return (self.path(device) / _UNHEALTHY).read_text().strip() or "unknown"
        except FileNotFoundError:
            return None

    def ill_since(self, device: str) -> float | None:
        """When a device became unhealthy, in seconds since the epoch; None for a healthy one."""
        try:
            return (self.path(device) / _UNHEALTHY).stat().st_mtime
        except FileNotFoundError:
            return None

    def fail(self, device: str, reason: str) -> None:
        """Declare a device unhealthy ("Xid 79: GPU has fallen off the bus"): it is not given out any more."""
        write_atomically(self.path(device) / _UNHEALTHY, reason, mode=0o644)

    def heal(self, device: str) -> None:
        """Declare a device healthy again."""
        (self.path(device) / _UNHEALTHY).unlink(missing_ok=True)

    def healthy(self, node: str) -> int:
        """How many devices a node can allocate; its capacity is `len(devices(node))`."""
        return sum(1 for d in self.devices(node) if not self.illness(d.uuid))

    def usage(self, device: str, *, now: float | None = None) -> list[Usage]:
        """What the living holders say they use; files that are not written any more are left out."""
        files = sorted((self.path(device) / "usage").glob("*.json"))
        found = (Usage.load(f) for f in files)
        return [u for u in found if u is not None and u.fresh(now)]
