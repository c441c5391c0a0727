"""The node agent's configuration: which cluster, nodes and registries. Written by the provider.

Paths are absolute. The file holds no secrets, only the paths of files that do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from localcluster import stored
from localcluster.gpus.device import Device, devices_of
from localcluster.images.declared import RATE

TAKEN_UP = "node-taken-up.json"
"""The configuration of the running agent: after a change of node.json, wait until both are the same."""


@dataclass(frozen=True)
class NodeSpec:
    """One simulated machine: its name and resources."""

    name: str
    index: int  # pod IPs are 10.244.<index>.x
    gpus: int = 0
    gpu_product: str = "NVIDIA-L4"
    gpu_memory_mib: int = 23034
    cpu: int = 64
    memory: str = "256Gi"
    labels: dict[str, str] = field(default_factory=dict)
    taints: list[dict[str, str]] = field(default_factory=list)
    # Bytes per lab second of an image that declares a size (`link.py`): 15 GB in 3.8 minutes, 20 GB in 5. AWS
    # reports 4 to 6 minutes for 15 to 20 GB ("Reducing container cold start times using SOCI index on DLAMI
    # and DLC", AWS Machine Learning Blog); how that splits into the two is an assumption.
    download_rate: float = RATE
    unpack_rate: float = 100e6

    def devices(self, lab: str) -> tuple[Device, ...]:
        """Its GPUs, before division."""
        return devices_of(
            lab=lab,
            node=self.name,
            count=self.gpus,
            product=self.gpu_product,
            memory_mib=self.gpu_memory_mib,
        )


@dataclass(frozen=True)
class Registry:
    """Where images under a stable name really come from, as containerd's hosts.toml says it."""

    host: str  # "registry.lab:5000"
    url: str  # "https://127.0.0.1:41234"
    ca: str  # path of the PEM that signs its certificate


@dataclass(frozen=True)
class AgentConfig:
    """The configuration of `python -m localcluster.node`.

    Identities are at fixed paths: `<lab_dir>/kubeconfigs/node-<name>`, `<lab_dir>/kubeconfigs/kube-proxy`,
    serving certificates at `<lab_dir>/pki/kubelet-<name>.crt` and `.key`, client CA `<lab_dir>/pki/ca.crt`.
    """

    lab_dir: str
    clock: float
    nodes: tuple[NodeSpec, ...]
    registries: tuple[Registry, ...]
    cache_dir: str  # unpacked images, shared by all labs of the user
    isolation: str = "bubblewrap"  # or "none": the stated fallback without isolation
    nft: str = ""  # the program that applies NetworkPolicies; empty where they can't be
    off: tuple[str, ...] = ()  # names of nodes that are turned off
    memory_mib: int = 0  # of this machine, for all pods together; 0: only what their limits say

    @property
    def on(self) -> tuple[NodeSpec, ...]:
        """The nodes that run."""
        return tuple(node for node in self.nodes if node.name not in self.off)

    def save(self, path: Path) -> None:
        """Write as JSON, atomically."""
        stored.save(path, self, indent=1)

    @classmethod
    def load(cls, path: Path) -> AgentConfig:
        """Read what `save` wrote."""
        return stored.load(path, cls)
