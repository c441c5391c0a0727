"""One simulated node as its pods know it: identity, images, addresses, devices and the clock.

A bundle of parts; its only behaviour is the lab's time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from localcluster.api.asynchronous import Api
from localcluster.api.events import Recorder
from localcluster.gpus.inventory import Inventory
from localcluster.node.config import AgentConfig, NodeSpec
from localcluster.node.network.host_ports import HostPorts
from localcluster.node.network.networks import Network
from localcluster.node.network.ports import PodIPs
from localcluster.node.network.service_links import Services
from localcluster.node.pod.objects import ObjectReader
from localcluster.node.pod.pods import PodTable
from localcluster.node.pod.pulling import NodeImages
from localcluster.node.pod.records import PodRecord
from localcluster.node.policy.enforcer import Policies
from localcluster.node.process import downward


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
    network: Network
    host_ports: HostPorts
    inventory: Inventory
    services: Services
    policies: Policies
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
    def ip(self) -> str:
        """The node's InternalIP: `status.hostIP` of its pods."""
        return self.network.node_ip(self.spec.index)

    @property
    def allocatable(self) -> dict[str, str]:
        """What the node gives to its pods."""
        return downward.allocatable(self.spec)

    @property
    def isolated(self) -> bool:
        """Whether containers run under bubblewrap."""
        return self.config.isolation != "none"

    def pod_folder(self, uid: str) -> Path:
        """The folder of a pod."""
        return self.lab_dir / "pods" / uid

    def take_back(self, record: PodRecord) -> None:
        """Release what a pod holds: devices, ports, address. What other pods have by now stays theirs."""
        for name, gpus in record.gpus.items():
            if gpus:
                self.inventory.release(f"{record.uid}/{name}")
        for taken in record.ports.values():
            self.network.release(taken.values())
        self.network.drop(record.uid, record.pod_ip if self.ips.release(record.pod_ip, record.uid) else "")
        record.ports, record.gpus, record.over = {}, {}, True

    def real(self, lab_seconds: float) -> float:
        """Lab seconds as real ones."""
        return lab_seconds / self.config.clock

    def now(self) -> float:
        """The lab's monotonic clock, in lab seconds."""
        return time.monotonic() * self.config.clock
