"""The GPUs of the simulated nodes: which exist, which are healthy, which are held and by what.

A device is a folder `<lab>/gpus/<uuid>/` with a `device.json`; its identity follows from lab, node and index,
so that it outlives every process. The inventory knows only devices and holders, nothing of Kubernetes: the
node agent and the device plugin both use it. Refuses to give one device to two holders, unless its node
shares devices in time (`sharing.py`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from localcluster.errors import LabError
from localcluster.gpus.device import Device, slices_of
from localcluster.gpus.handout import RESOURCE
from localcluster.gpus.sharing import WHOLE, Sharing
from localcluster.gpus.usage import Usage
from localcluster.stored import plain, write_atomically

_UNHEALTHY = "unhealthy"  # a file in the device's folder; its text is the reason


class NoFreeGpu(LabError):
    """There are fewer healthy, free devices than requested."""


class Inventory:
    """The devices under one folder and their holders; a holder is any name that its caller chooses.

    The holders are kept in memory: the caller persists them with whatever it assigns the devices to, and
    calls `restore` after a restart.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._devices: dict[str, Device] = {}
        self._cut: dict[str, Device] = {}  # GPUs that are cut into slices: not assigned themselves
        self._sharing: dict[str, Sharing] = {}  # node -> how its devices are divided
        self._holders: dict[str, list[str]] = {}  # uuid -> holders; several only where its node shares

    def add(self, devices: Iterable[Device]) -> None:
        """Add the devices and write their folders; existing ones stay."""
        for device in devices:
            self._devices[device.uuid] = device
            (self.path(device.uuid) / "usage").mkdir(parents=True, exist_ok=True)
            record = self.path(device.uuid) / "device.json"
            text = json.dumps({name: value for name, value in plain(device).items() if value != ""})
            if not record.exists() or record.read_text() != text:
                write_atomically(record, text, mode=0o644)

    def remove(self, node: str) -> None:
        """Remove a node's devices and delete their folders."""
        for device in [*self.devices(node), *(d for d in self._cut.values() if d.node == node)]:
            self._forget(device.uuid)
            shutil.rmtree(self.path(device.uuid), ignore_errors=True)
        self._sharing.pop(node, None)
        self._record(node).unlink(missing_ok=True)

    def _forget(self, device: str) -> None:
        self._devices.pop(device, None)
        self._cut.pop(device, None)
        self._holders.pop(device, None)

    def _record(self, node: str) -> Path:
        return self.folder / f"{node}.sharing.json"

    def sharing(self, node: str) -> Sharing:
        """How a node's devices are divided now."""
        return self._sharing.get(node, WHOLE)

    def divide(self, node: str, sharing: Sharing) -> bool:
        """Share a node's devices or cut them; False, and nothing is done, while one of them is held."""
        if sharing == self.sharing(node):
            return True
        if any(self._holders.get(device.uuid) for device in self.devices(node)):
            return False
        self._make_whole(node)
        self._sharing[node] = sharing
        sharing.save(self._record(node))
        if sharing.mig:
            whole = self.devices(node)
            self._cut |= {device.uuid: self._devices.pop(device.uuid) for device in whole}
            self.add(cut for device in whole for cut in slices_of(device, sharing.mig))
        return True

    def recall(self, node: str) -> None:
        """Divide a node's devices as they were before a restart."""
        self.divide(node, Sharing.load(self._record(node)))

    def _make_whole(self, node: str) -> None:
        for device in self.devices(node):
            if device.parent:
                self._forget(device.uuid)
                shutil.rmtree(self.path(device.uuid), ignore_errors=True)
        whole = [device for device in self._cut.values() if device.node == node]
        for device in whole:
            self._devices[device.uuid] = self._cut.pop(device.uuid)

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

    def free(self, node: str, *, resource: str = "") -> list[Device]:
        """Healthy devices that take one more holder: those with the fewest first, then by index.

        None if they are announced as a different `resource`.
        """
        if resource not in {"", self.sharing(node).resource}:
            return []
        most = self.sharing(node).replicas
        open_ = [d for d in self.devices(node) if self._count(d) < most and not self.illness(d.uuid)]
        return sorted(open_, key=self._count)

    def _count(self, device: Device) -> int:
        return len(self._holders.get(device.uuid, ()))

    def allocate(self, holder: str, *, node: str, count: int, resource: str = RESOURCE) -> tuple[str, ...]:
        """Assign `count` devices to `holder`, by index; the same ones again if it holds that many already.

        Raises `NoFreeGpu` and assigns nothing if there are too few.
        """
        held = self.held(holder)
        if len(held) == count:
            return held
        free = self.free(node, resource=resource)
        if held or len(free) < count:
            raise NoFreeGpu(
                f"{holder} asks for {count} GPUs of {node}: {len(free)} are free, it holds {len(held)}.",
                cause="A device became unhealthy, or a terminating container still holds it.",
                fix=f"See `kubectl describe node {node}` for what is allocated.",
            )
        for device in free[:count]:
            self._holders.setdefault(device.uuid, []).append(holder)
        return self.held(holder)

    def release(self, holder: str) -> None:
        """Release all devices of a holder, if it has any, and delete what was written there.

        A device with other holders is left unchanged: what a dead process wrote does not count.
        """
        for device in self.held(holder):
            self._holders[device].remove(holder)
            if not self._holders[device]:
                self.wipe(device)

    def wipe(self, device: str) -> None:
        """Delete what holders wrote about a device."""
        for entry in (self.path(device) / "usage").iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)

    def restore(self, held: Mapping[str, Iterable[str]]) -> None:
        """Restore what holders had before a restart (holder -> UUIDs); unknown devices are ignored."""
        for holder, devices in held.items():
            for device in devices:
                if device in self._devices:
                    self._holders.setdefault(device, []).append(holder)

    def held(self, holder: str) -> tuple[str, ...]:
        """The devices of one holder, by index."""
        return tuple(d.uuid for d in self.devices() if holder in self._holders.get(d.uuid, ()))

    def holder(self, device: str) -> str | None:
        """The holder of a device; the first one if it is shared."""
        return next(iter(self._holders.get(device, ())), None)

    def illness(self, device: str) -> str | None:
        """Why a device is unhealthy; None for a healthy one. A slice is unhealthy if its GPU is."""
        known = self._devices.get(device)
        if known and known.parent and (ill := self.illness(known.parent)):
            return ill
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
        """Declare a device unhealthy ("Xid 79: GPU has fallen off the bus"): it is not assigned any more."""
        write_atomically(self.path(device) / _UNHEALTHY, reason, mode=0o644)

    def heal(self, device: str) -> None:
        """Declare a device healthy again."""
        (self.path(device) / _UNHEALTHY).unlink(missing_ok=True)

    def healthy(self, node: str) -> int:
        """How much of its resource a node can allocate: one for each holder that a healthy device takes."""
        return sum(self.sharing(node).replicas for d in self.devices(node) if not self.illness(d.uuid))

    def usage(self, device: str, *, now: float | None = None) -> list[Usage]:
        """What active holders report; files that are no longer written are ignored."""
        files = sorted((self.path(device) / "usage").glob("*.json"))
        found = (Usage.load(f) for f in files)
        return [u for u in found if u is not None and u.fresh(now)]
