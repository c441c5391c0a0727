"""A node of an agent, made of the agent's own parts, for tests that need neither containers nor a cluster."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from localcluster.api import Json
from localcluster.api.asynchronous import Api
from localcluster.api.events import Recorder
from localcluster.api.identity import Identity
from localcluster.embedded import pki
from localcluster.gpus.inventory import Inventory
from localcluster.images.store import Store
from localcluster.node.config import AgentConfig, NodeSpec
from localcluster.node.network.host_ports import HostPorts
from localcluster.node.network.networks import Network
from localcluster.node.network.ports import PodIPs
from localcluster.node.network.service_links import Services
from localcluster.node.pod.context import PodContext
from localcluster.node.pod.link import Link
from localcluster.node.pod.machine import Machine
from localcluster.node.pod.objects import ObjectReader
from localcluster.node.pod.pods import PodTable, RunningPod
from localcluster.node.pod.pulling import NodeImages, Way
from localcluster.node.pod.records import PodRecord
from localcluster.node.pod.volumes import Volumes
from localcluster.node.policy.enforcer import IDENTITY, NotEnforced
from localcluster.node.process.shared import SharedProcesses


def away(place: Path, node: str) -> Path:
    """The kubeconfig of an API server that does not answer."""
    pki.ensure(place, pki.identities({node: "127.0.0.1"}))
    user = {"client-certificate": f"{place}/admin.crt", "client-key": f"{place}/admin.key"}
    cluster = {"server": "https://127.0.0.1:9", "certificate-authority": f"{place}/ca.crt"}
    config = {
        "current-context": "away",
        "contexts": [{"name": "away", "context": {"cluster": "away", "user": "admin"}}],
        "clusters": [{"name": "away", "cluster": cluster}],
        "users": [{"name": "admin", "user": user}],
    }
    (place / "kubeconfig").write_text(yaml.safe_dump(config))
    return place / "kubeconfig"


@dataclass
class Server:
    """Gives these answers, and the last one for ever; keeps what it was sent."""

    answers: list[int]
    sent: list[Any] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "PATCH":
            self.sent.append((await request.json())["status"])
        code = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not code:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=code or 200, text=json.dumps({"message": f"no: {code}"}))


@asynccontextmanager
async def answering(*answers: int) -> AsyncIterator[tuple[Server, Api]]:
    """An API server that gives these answers to whatever it is asked, and a client of it."""
    server = Server(list(answers))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api = Api(Identity(f"http://127.0.0.1:{runner.addresses[0][1]}", ssl.create_default_context()))
    yield server, api
    await api.close()
    await runner.cleanup()


@asynccontextmanager
async def machine(
    folder: Path, network: Network, spec: NodeSpec, api: Api | None = None
) -> AsyncIterator[Machine]:
    """A node; where no `api` is given, its API server is away."""
    (folder / "kubeconfigs").mkdir()
    (folder / "pki").mkdir()
    known = away(folder / "pki", spec.name)
    for who in (f"node-{spec.name}", IDENTITY):
        (folder / "kubeconfigs" / who).symlink_to(known)
    config = AgentConfig(str(folder), 15.0, (spec,), (), str(folder / "cache"), isolation="none")
    api = api or Api(folder / "kubeconfigs" / f"node-{spec.name}")
    inventory = Inventory(folder / "gpus")
    inventory.add(spec.devices("lab"))
    way = Way((), Link(spec.download_rate, spec.unpack_rate), config.clock)
    policies = NotEnforced(folder, clock=config.clock)
    yield Machine(
        config=config,
        spec=spec,
        api=api,
        recorder=Recorder(api, spec.name, clock=config.clock),
        reader=ObjectReader(api),
        images=NodeImages(record=folder / "images.json", store=Store(folder / "cache"), way=way),
        ips=PodIPs(spec.index),
        network=network,
        inventory=inventory,
        services=Services(),
        policies=policies,
        host_ports=HostPorts(""),
        table=PodTable(),
    )
    await api.close()
    await policies._api.close()


def pod(on: Machine, uid: str, *containers: dict[str, Any]) -> PodContext:
    """A pod that the node has just seen."""
    meta = {"uid": uid, "name": uid, "namespace": "ns"}
    made: Json = {"metadata": meta, "spec": {"containers": list(containers)}, "status": {}}
    place = on.pod_folder(uid)
    view = RunningPod(uid, "ns", uid, on.name, place, made["spec"], {})
    volumes = Volumes(place / "volumes", on.reader)
    shared = SharedProcesses(place, on.lab_dir)
    return PodContext(on, made, PodRecord.new(made, on.name), place, volumes, view, shared, lambda: None)
