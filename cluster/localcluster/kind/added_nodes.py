"""Machines that join a running kind lab, and leave it: containers like kind's own, joined by kubeadm.

Everything that such a container needs is taken from a worker that kind made. Its GPUs, if it has any, get a
DaemonSet of the plugin of their own. Refuses names of existing nodes, and GPUs that are not listed.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import yaml

from localcluster import polling
from localcluster.api.client import Api
from localcluster.api.objects import KubeObject
from localcluster.embedded import admin
from localcluster.errors import BadInput, ProviderError
from localcluster.gpus.handout import RESOURCE
from localcluster.gpus.roofline import Figures
from localcluster.kind.engine import Engine
from localcluster.kind.machines import CLUSTER, NODE, SECONDS, Machines
from localcluster.kind.settings import Settings
from localcluster.layout import Layout
from localcluster.provider import NewNode

BOOTED = "Reached target"
"""What systemd says of a node that has booted (`Multi-User System`); kind waits for the same."""
JOIN = "/kind/kubeadm.conf"
PLUGIN = "/apis/apps/v1/namespaces/monitoring/daemonsets"


class AddedNodes:
    """The machines that were added to one lab."""

    def __init__(self, engine: Engine, settings: Settings, layout: Layout) -> None:
        self._engine, self._settings = engine, settings
        self._api = Api(layout.kubeconfig)
        self._machines = Machines(engine, settings, self._api)

    def plug_in(self, node: NewNode) -> None:
        """Add a machine; returns once it is Ready and announces its GPUs."""
        self._check(node)
        container = f"{self._settings.cluster}-{node.name}"
        try:
            self._create(node, container)
            self._join(node, container)
            if node.gpus:
                admin.apply_objects(self._api, [self._plugin(node)])
            self._until_there(node)
        except BaseException:
            self._remove(node.name, container)
            raise

    def plug_out(self) -> list[str]:
        """Remove every added machine with all that runs on it; returns their names."""
        own = {node: at for node, at in self._machines.containers().items() if node != at}
        for node, container in own.items():
            self._remove(node, container)
        return list(own)

    def _check(self, node: NewNode) -> None:
        known = self._machines.containers()
        if node.name in known or (node.gpus and node.gpu_product not in Figures.read().gpus):
            raise BadInput(
                f"No node {node.name} with {node.gpus} GPUs of {node.gpu_product!r} can be added.",
                cause="The node exists already, or cluster/localcluster/data/gpu/gpus.toml has no such GPU.",
                fix=f"Nodes: {', '.join(known)}. Or add the GPU, with its source, to that file.",
            )

    def _create(self, node: NewNode, container: str) -> None:
        worker = json.loads(self._engine.run("container", "inspect", self._worker))[0]
        self._engine.run("run", *run_words(worker, container, node.name, self._settings.cluster))
        polling.until(
            lambda: BOOTED in self._engine.says("logs", container), f"{container} to boot", seconds=SECONDS
        )

    def _join(self, node: NewNode, container: str) -> None:
        head = f"{self._settings.cluster}-control-plane"
        admin_config = "--kubeconfig=/etc/kubernetes/admin.conf"
        token = self._engine.run("exec", head, "kubeadm", "token", "create", "--ttl=10m", admin_config)
        text = self._engine.run("exec", self._worker, "cat", JOIN)
        text = text.replace(self._address(self._worker), self._address(container))
        config = join_config(text, node, container=container, token=token.splitlines()[-1].strip())
        self._engine.run("exec", "--interactive", container, "tee", JOIN, stdin=config)
        words = ("kubeadm", "join", f"--config={JOIN}", "--skip-phases=preflight")
        self._engine.run("exec", container, *words, seconds=SECONDS)

    @property
    def _worker(self) -> str:
        """A worker that kind made: the pattern of those that come later."""
        found = [n for n, at in self._machines.containers().items() if n == at and "control-plane" not in n]
        return found[0]

    def _address(self, container: str) -> str:
        template = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        return self._engine.run("container", "inspect", "--format", template, container).split()[0]

    def _plugin(self, node: NewNode) -> dict[str, Any]:
        return plugin_of(self._api.get(f"{PLUGIN}/gpu-plugin"), node)

    def _until_there(self, node: NewNode) -> None:
        def there() -> bool:
            found = KubeObject(self._api.find(f"/api/v1/nodes/{node.name}") or {})
            announced = int((found.at("status.allocatable") or {}).get(RESOURCE, 0))
            return found.is_true("Ready") and announced == node.gpus

        what = f"{node.name} to be Ready" + (f" with {node.gpus} GPUs" if node.gpus else "")
        polling.until(there, what, seconds=SECONDS)

    def _remove(self, node: str, container: str) -> None:
        self._engine.remove(container)
        self._api.delete(f"{PLUGIN}/{plugin_name(node)}")
        self._api.delete(f"/api/v1/nodes/{node}")


def run_words(like: dict[str, Any], container: str, node: str, cluster: str) -> Iterator[str]:
    """The options of `docker run` for one more container like a worker's (`docker container inspect`)."""
    host, config = like["HostConfig"], like["Config"]
    yield from ("--detach", "--tty", "--privileged", "--name", container, "--hostname", node)
    yield from ("--label", f"{CLUSTER}={cluster}", "--label", f"{NODE}={node}")
    for option in host.get("SecurityOpt") or ():
        yield from ("--security-opt", option)
    for path in host.get("Tmpfs") or ():
        yield from ("--tmpfs", path)
    for bind in host.get("Binds") or ():
        yield from ("--volume", bind)
    for word in config.get("Env") or ():
        yield from ("--env", word)
    yield from ("--volume", "/var", "--network", host["NetworkMode"])
    if mode := host.get("CgroupnsMode") or host.get("CgroupMode"):
        yield from ("--cgroupns", mode)
    yield config["Image"]


def join_config(text: str, node: NewNode, *, container: str, token: str) -> str:
    """The configuration for `kubeadm join`, from that of a worker (its documents as one text)."""
    documents = [doc for doc in yaml.safe_load_all(text) if doc]
    joins = [doc for doc in documents if doc["kind"] == "JoinConfiguration"]
    if not joins:
        raise ProviderError("kind's worker has no JoinConfiguration.", fix="Report this: the format is new.")
    registration = joins[0]["nodeRegistration"]
    registration["name"] = node.name
    labels = {"labkit.dev/simulated": "true", **node.labels}
    own = {"node-labels": ",".join(f"{key}={value}" for key, value in labels.items())}
    own["provider-id"] = f"kind://labkit/{container}"
    kept = [arg for arg in registration.get("kubeletExtraArgs", ()) if arg["name"] not in own]
    registration["kubeletExtraArgs"] = [*kept, *({"name": k, "value": v} for k, v in own.items())]
    joins[0]["discovery"]["bootstrapToken"]["token"] = token
    return yaml.safe_dump_all(documents)


def plugin_name(node: str) -> str:
    """The DaemonSet of an added machine's GPUs."""
    return f"gpu-plugin-{node}"


def plugin_of(like: dict[str, Any], node: NewNode) -> dict[str, Any]:
    """The DaemonSet of the GPU plugin for one machine, from that of all others."""
    memory = int(Figures.read().gpus[node.gpu_product]["memory_mib"])
    own = {"--count": node.gpus, "--product": node.gpu_product, "--memory-mib": memory}
    labels = {"app": "gpu-plugin", NODE: node.name}
    template = copy.deepcopy(like["spec"]["template"])
    template["metadata"] = {"labels": labels}
    template["spec"]["nodeSelector"] = {"kubernetes.io/hostname": node.name}
    [plugin] = template["spec"]["containers"]
    kept = [arg for arg in plugin["args"] if arg.partition("=")[0] not in own]
    plugin["args"] = [*kept, *(f"{key}={value}" for key, value in own.items())]
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": plugin_name(node.name), "namespace": "monitoring", "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }
