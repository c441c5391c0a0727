"""The node agent: all nodes of a lab in one event loop, from start to stop.

Ends its containers only when the lab is being taken down (`<lab>/stopping` exists); otherwise they keep
running and the next agent adopts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Mapping
from pathlib import Path

from localcluster.api.asynchronous import Api
from localcluster.api.events import Recorder
from localcluster.gpus.health import Health, Ward
from localcluster.gpus.holder import Holder
from localcluster.gpus.inventory import Inventory
from localcluster.images.store import Store
from localcluster.netns.outward import Outward
from localcluster.node import leftovers
from localcluster.node.config import AgentConfig, NodeSpec
from localcluster.node.kubelet.edge import Edge
from localcluster.node.network.host_ports import HostPorts
from localcluster.node.network.networks import Loopback, Network, OwnNetworks
from localcluster.node.network.ports import PodIPs
from localcluster.node.network.service_links import Services
from localcluster.node.nodeloop import NodeLoop
from localcluster.node.pod import pressure
from localcluster.node.pod.link import Link
from localcluster.node.pod.machine import Machine
from localcluster.node.pod.objects import ObjectReader
from localcluster.node.pod.pods import PodTable
from localcluster.node.pod.pulling import NodeImages, Way
from localcluster.node.policy.enforcer import Enforced, NotEnforced, Policies

_MEMORY_SECONDS = 0.5  # real time between two looks at the memory of containers
_CONFIG_SECONDS = 1.0  # and at node.json


class Agent:
    """Everything that runs for the nodes of one lab."""

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        self.lab_dir = Path(config.lab_dir)
        self.table = PodTable()
        self.inventory = Inventory(self.lab_dir / "gpus")
        own = config.isolation != "none"
        self._network: Network = OwnNetworks() if own else Loopback(self.lab_dir)
        self._host_ports = HostPorts(config.nft if own else "")
        self._services = Services()
        self._policies: Policies = (
            Enforced(self.lab_dir, config.nft, clock=config.clock)
            if config.nft
            else NotEnforced(self.lab_dir, clock=config.clock)
        )
        self._store = Store(Path(config.cache_dir))
        self._stop = asyncio.Event()
        for spec in config.on:
            self.inventory.add(spec.devices(self.lab_dir.name))
            self.inventory.recall(spec.name)
        self.loops = [NodeLoop(self._machine(spec)) for spec in config.on]

    def _machine(self, spec: NodeSpec) -> Machine:
        api = Api(self.lab_dir / "kubeconfigs" / f"node-{spec.name}")
        record = self.lab_dir / "images" / f"{spec.name}.json"
        link = Link(spec.download_rate, spec.unpack_rate)
        outward = Outward(self.lab_dir) if self._network.own else None
        way = Way(self.config.registries, link, self.config.clock, outward)
        return Machine(
            config=self.config,
            spec=spec,
            api=api,
            recorder=Recorder(api, spec.name, clock=self.config.clock),
            reader=ObjectReader(api),
            images=NodeImages(record=record, store=self._store, way=way),
            ips=PodIPs(spec.index),
            network=self._network,
            host_ports=self._host_ports,
            inventory=self.inventory,
            services=self._services,
            policies=self._policies,
            table=self.table,
        )

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        records = leftovers.found(self.lab_dir)
        leftovers.restore([loop.machine for loop in self.loops], records)
        self._network.retain({r.pod_ip for r in records if r.pod_ip and not r.over})
        await self._host_ports.begin()
        edge = Edge(self.lab_dir, self.table, self.inventory, self._network)
        jobs = [
            edge.watch(),
            self._watch_memory(),
            self._sweep(),
            self._stop_means_stop(),
            self._new_config(),
            self._policies.run(),
            *(self._services.follow(loop.machine.api) for loop in self.loops[:1]),  # one watch does for all
        ]
        for loop in self.loops:
            node = loop.machine
            edging = edge.serve(node.spec, node.api, images=node.images.sizes)
            jobs += [node.recorder.run(), loop.run(), edging, self._health(loop).run()]
        tasks = [asyncio.create_task(job) for job in jobs]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # raises what broke it: the supervisor restarts us
        finally:
            await self._leave()

    def _health(self, loop: NodeLoop) -> Health:
        node = loop.machine

        async def holders() -> Mapping[str, Holder]:
            return self.table.gpu_holders(node.name)

        ward = Ward(node.name, self.inventory, holders)
        return Health(node.api, ward, clock=self.config.clock, changed=loop.refresh)

    async def _stop_means_stop(self) -> None:
        await self._stop.wait()

    async def _new_config(self) -> None:
        """Return when nodes were added or removed (node.json changed): the next agent adopts the pods.

        The pods of a node that was removed or turned off end with it, as on a machine without power; its Node
        object stays.
        """
        path = self.lab_dir / "node.json"
        seen = 0
        while True:
            with contextlib.suppress(FileNotFoundError):  # the lab is being taken down
                changed = path.stat().st_mtime_ns
                if changed != seen and AgentConfig.load(path) != self.config:
                    return
                seen = changed
            await asyncio.sleep(_CONFIG_SECONDS)

    async def _leave(self) -> None:
        """Leave containers to the next agent, unless there will be none."""
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # first, or a worker would start again what is killed now
        if (self.lab_dir / "stopping").exists():
            for folder in (self.lab_dir / "pods").glob("*"):
                leftovers.kill(folder)
        await asyncio.gather(*(loop.machine.api.close() for loop in self.loops))

    async def _sweep(self) -> None:
        """Once every node's pods are known, remove what belongs to no node."""
        await asyncio.gather(*(loop.listed.wait() for loop in self.loops))
        known = {uid for loop in self.loops for uid in loop.workers}
        await leftovers.sweep(self.lab_dir, known, [loop.machine for loop in self.loops])
        await asyncio.Event().wait()

    async def _watch_memory(self) -> None:
        """The kernel's part in memory limits and in keeping one container from using the whole machine."""
        while True:
            for loop in self.loops:
                for worker in list(loop.workers.values()):
                    worker.keep_in_bounds()
            self._relieve()
            await asyncio.sleep(_MEMORY_SECONDS)

    def _relieve(self) -> None:
        """Evict who holds most, while all pods together hold more than they may."""
        bound = self.config.memory_mib * 2**20
        workers = [worker for loop in self.loops for worker in loop.workers.values()] if bound else []
        held = {worker: worker.memory for worker in workers}
        if held and sum(held.values()) > bound:
            most = max(held, key=lambda worker: held[worker])
            most.evict(pressure.message(most.pod.spec, held[most]))
