"""A node's GPUs under the names of NVIDIA's DCGM exporter, from what their holders report.

Only figures that the simulation really has: no clocks, no temperatures, no PCIe traffic.
Source of names and labels: https://github.com/NVIDIA/dcgm-exporter
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from localcluster.gpus.device import Device
from localcluster.gpus.exposition import Family
from localcluster.gpus.holder import Holder
from localcluster.gpus.inventory import Inventory
from localcluster.gpus.roofline import Figures
from localcluster.gpus.usage import Load, total

_NOTE = "(simulated)"
_XID = re.compile(r"\bXid\s+(\d+)", re.IGNORECASE)
_IDLE = Load(memory_used_mib=0.0, gpu_utilization=0.0, sm_seconds_total=0.0, power_watts=0.0)


class GpuMetrics:
    """The DCGM page of each node; keeps only the energy that each GPU has used so far."""

    def __init__(self, inventory: Inventory, *, idle_watts: Mapping[str, float] | None = None) -> None:
        self._inventory = inventory
        self._idle_watts = published() if idle_watts is None else idle_watts  # product -> watts
        self._energy: dict[str, tuple[float, float]] = {}  # uuid -> joules, as of (monotonic)

    def families(self, node: str, holders: Mapping[str, Holder]) -> list[Family]:
        """One sample for each GPU and metric; the labels say which container holds a GPU (UUID -> holder)."""
        page = {
            "util": Family("DCGM_FI_DEV_GPU_UTIL", "gauge", f"GPU utilization (in %). {_NOTE}"),
            "used": Family("DCGM_FI_DEV_FB_USED", "gauge", f"Framebuffer memory used (in MiB). {_NOTE}"),
            "free": Family("DCGM_FI_DEV_FB_FREE", "gauge", f"Framebuffer memory free (in MiB). {_NOTE}"),
            "power": Family("DCGM_FI_DEV_POWER_USAGE", "gauge", f"Power draw (in W). {_NOTE}"),
            "energy": Family(
                "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
                "counter",
                f"Energy since the exporter started (in mJ of real time). {_NOTE}",
            ),
            "active": Family(
                "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
                "gauge",
                f"Ratio of time the compute engine is active. {_NOTE}",
            ),
            "xid": Family("DCGM_FI_DEV_XID_ERRORS", "gauge", f"Last XID error, 0 for none. {_NOTE}"),
        }
        for device in self._inventory.devices(node):
            holder = holders.get(device.uuid)
            labels = _labels(device) | (holder.labels if holder else {})
            for name, value in self._values(device).items():
                page[name].add(labels, value)
        return list(page.values())

    def _values(self, device: Device) -> dict[str, float]:
        load = total(self._inventory.usage(device.uuid)) or _IDLE
        watts = max(load.power_watts, self._idle_watts.get(device.product, 0.0))
        used = min(load.memory_used_mib, device.memory_mib)
        return {
            "util": round(100 * load.gpu_utilization),
            "used": round(used),
            "free": device.memory_mib - round(used),
            "power": watts,
            "energy": 1000 * self._joules(device.uuid, watts),
            "active": load.gpu_utilization,
            "xid": _xid(self._inventory.illness(device.uuid)),
        }

    def _joules(self, device: str, watts: float) -> float:
        now = time.monotonic()
        joules, since = self._energy.get(device, (0.0, now))
        self._energy[device] = (joules + watts * (now - since), now)
        return self._energy[device][0]


def published() -> dict[str, float]:
    """The idle power of each listed product."""
    return {product: float(card["idle_watts"]) for product, card in Figures.read().gpus.items()}


def _labels(device: Device) -> dict[str, str]:
    part = {"GPU_I_PROFILE": device.profile, "GPU_I_ID": str(device.index)} if device.profile else {}
    return part | {
        "gpu": str(device.index),
        "UUID": device.uuid,
        "device": f"nvidia{device.index}",
        "modelName": device.product.replace("-", " "),
        "Hostname": device.node,
    }


def _xid(illness: str | None) -> float:
    """The number in "Xid 79: GPU has fallen off the bus"; 79 if the reason has none."""
    if illness is None:
        return 0
    found = _XID.search(illness)
    return int(found[1]) if found else 79
