"""What the cluster sees of the nodes: their kubelet ports, their registration, their metrics and logs.

The core of the agent passes in its table of pods and its GPUs, and runs `watch` once and `serve` for each
node. Nothing here starts, stops or changes a container.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from localcluster.api.asynchronous import Api
from localcluster.gpus.dcgm import GpuMetrics
from localcluster.gpus.inventory import Inventory
from localcluster.node.config import NodeSpec
from localcluster.node.kubelet.kubelet_api import KubeletServer, NodeView
from localcluster.node.kubelet.log_reader import LogTimes
from localcluster.node.kubelet.registration import Local, Registration
from localcluster.node.kubelet.stats import Sampler
from localcluster.node.network.networks import Network
from localcluster.node.pod.pods import PodTable


class Edge:
    """The outward side of all nodes of one agent."""

    def __init__(self, lab_dir: Path, pods: PodTable, inventory: Inventory, network: Network) -> None:
        self._network = network
        self._pki = lab_dir / "pki"
        self._pods = pods
        self._inventory = inventory
        self._sampler = Sampler(pods)
        self._gpus = GpuMetrics(inventory)
        self._log_times = LogTimes()

    async def watch(self) -> None:
        """Record when logs grow; never returns."""
        await self._log_times.watch(self._pods)

    async def serve(self, spec: NodeSpec, api: Api, *, images: Callable[[], Mapping[str, int]]) -> None:
        """Act as this node's kubelet for the cluster, with the node's own identity, until cancelled.

        `images` gives the bytes of each image that the node has, by name.
        """
        view = NodeView(spec, self._pods, self._sampler, self._gpus, self._log_times)
        server = KubeletServer(view, self._pki, self._network)
        port = await server.start()
        try:
            local = Local(spec, self._inventory, images, (self._network.node_ip(spec.index), port))
            await Registration(api, local).run()
        finally:
            await server.stop()
            self._sampler.forget(spec.name)
