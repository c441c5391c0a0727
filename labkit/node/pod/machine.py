"""One simulated node as its pods know it: identity, images, addresses, devices and the clock.

A bundle of parts with no behaviour of its own but the lab's time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from labkit.apiserver.api import Api
from labkit.apiserver.events import Recorder
from labkit.gpus.inventory import Inventory
from labkit.node.config import AgentConfig, NodeSpec
from labkit.node.network.addresses import AddressBook
from labkit.node.network.ports import PodIPs, Ports
from labkit.node.pod.objects import ObjectReader
from labkit.node.pod.pods import PodTable
from labkit.node.pod.pulling import NodeImages

HOST_IP = "127.0.0.1"


@dataclass(frozen=True)
class Machine:
    """Everything that the pods of one node share; some parts are shared by all nodes of the agent."""

    config: AgentConfig
    spec: NodeSpec
    api: Api  # as system:node:<name>
    recorder: Recorder
    reader: ObjectReader
    images: NodeImages
    ips: PodIPs
    ports: Ports
    inventory: Inventory
    addresses: AddressBook
    table: PodTable

    @property
    def name(self) -> str:
        """The node's name."""
        return self.spec.name

    @property
    def lab_dir(self) -> Path:
        """The lab's folder."""
        return Path(self.config.lab_dir)

    @property
    def isolated(self) -> bool:
        """Whether containers run under bubblewrap."""
        return self.config.isolation != "none"

    def pod_folder(self, uid: str) -> Path:
        """Where everything of a pod lies."""
        return self.lab_dir / "pods" / uid

    def real(self, lab_seconds: float) -> float:
        """Lab seconds as real ones."""
        return lab_seconds / self.config.clock

    def now(self) -> float:
        """The lab's monotonic clock, in lab seconds."""
        return time.monotonic() * self.config.clock
