"""How a node's GPUs are divided: whole, shared in time, or cut into MIG slices, as the node's labels ask.

The labels are those that NVIDIA's GPU operator reads. Time slicing makes several resources of one device,
without isolation between its tenants. A MIG slice is a separate device, with its own memory. Refuses to cut a
GPU for which `data/gpu/gpus.toml` lists no such slice.
https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/gpu-sharing.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcluster import stored
from localcluster.gpus.handout import MIG, RESOURCE
from localcluster.gpus.roofline import Figures

PLUGIN_CONFIG = "nvidia.com/device-plugin.config"
"""Label of a node: `time-slicing-4` lets four tenants share each of its devices."""
MIG_CONFIG = "nvidia.com/mig.config"
"""Label of a node: `all-1g.5gb` cuts each of its devices into slices of that profile."""
MIG_STATE = "nvidia.com/mig.config.state"
MIG_STRATEGY = "nvidia.com/mig.strategy"

_TIME_SLICING = re.compile(r"time-slicing-([2-9]|[1-4]\d)")  # 48 tenants: the maximum with MPS


@dataclass(frozen=True)
class Slice:
    """A MIG profile of one product: `count` of it make up a GPU."""

    profile: str
    product: str
    memory_mib: int
    count: int


@dataclass(frozen=True)
class Sharing:
    """What one device is for the scheduler; whole by default."""

    replicas: int = 1
    mig: Slice | None = None

    @property
    def resource(self) -> str:
        """The extended resource that pods ask for."""
        return f"{MIG}{self.mig.profile}" if self.mig else RESOURCE

    @property
    def per_gpu(self) -> int:
        """How many of them each GPU gives."""
        return self.replicas * (self.mig.count if self.mig else 1)

    def save(self, path: Path) -> None:
        """Write it for a restarted agent."""
        stored.save(path, self, mode=0o644)

    @classmethod
    def load(cls, path: Path) -> Sharing:
        """Read it; whole if it is missing or invalid."""
        return stored.find(path, cls) or WHOLE


WHOLE = Sharing()


def asked(labels: Mapping[str, str], *, product: str) -> Sharing:
    """What a node's labels ask for; what is invalid, or not possible with this product, is ignored."""
    profile = labels.get(MIG_CONFIG, "").removeprefix("all-")
    if profile and (cut := mig_slice(product, profile)):
        return Sharing(mig=cut)
    shared = _TIME_SLICING.fullmatch(labels.get(PLUGIN_CONFIG, ""))
    return Sharing(replicas=int(shared[1])) if shared else WHOLE


def mig_slice(product: str, profile: str) -> Slice | None:
    """The slice that a product can be cut into; None if it can't."""
    name = f"{product}-MIG-{profile}"
    card = Figures.read().gpus.get(name)
    return Slice(profile, name, int(card["memory_mib"]), int(card["slices"])) if card else None


def mig_state(labels: Mapping[str, str], now: Sharing, *, product: str) -> str:
    """The MIG manager's state: success, pending (a GPU is in use), failed; or nothing."""
    if MIG_CONFIG not in labels:
        return ""
    wanted = asked(labels, product=product)
    if wanted.mig is None and labels[MIG_CONFIG] != "all-disabled":
        return "failed"
    return "success" if now == wanted else "pending"
