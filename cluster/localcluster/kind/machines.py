"""Turns the machines of a kind lab off and on: containers, each with a real kubelet.

A machine that is turned off is killed with everything on it; nobody tells the control plane, which has to
notice by itself (`--node-monitor-grace-period`: 50 real seconds). Refuses names that the lab does not know.
"""

from __future__ import annotations

from datetime import datetime

from localcluster import polling
from localcluster.api.client import Api
from localcluster.api.objects import KubeObject
from localcluster.errors import BadInput
from localcluster.kind.engine import Engine
from localcluster.kind.settings import Settings

CLUSTER = "io.x-k8s.kind.cluster"
"""kind's label of its nodes' containers."""
NODE = "labkit.dev/node"
"""Label of a container that was added: the name of its Node, which is not the container's."""
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
SECONDS = 180.0


def containers(engine: Engine, cluster: str, status: str = "") -> dict[str, str]:
    """Node → its container: all of a kind cluster, or those of one `status`, such as running."""
    wanted = [f"label={CLUSTER}={cluster}", *([f"status={status}"] if status else [])]
    filters = [word for one in wanted for word in ("--filter", one)]
    said = engine.run("ps", "--all", *filters, "--format", f'{{{{.Names}}}} {{{{.Label "{NODE}"}}}}')
    lines = [line.split() for line in said.splitlines()]
    return {line[-1]: line[0] for line in sorted(lines)}


class Machines:
    """The machines of one lab."""

    def __init__(self, engine: Engine, settings: Settings, api: Api) -> None:
        self._engine, self._api = engine, api
        self._cluster = settings.cluster

    def containers(self) -> dict[str, str]:
        """Node → its container, whether it runs or not."""
        return containers(self._engine, self._cluster)

    def container(self, node: str) -> str:
        """The container that is a node; raises `BadInput` if there is none."""
        known = self.containers()
        if node not in known:
            raise BadInput(f"There is no node called {node!r}.", fix=f"There are: {', '.join(known)}.")
        return known[node]

    def stop(self, node: str) -> None:
        """Cut its power."""
        container = self.container(node)
        if self._engine.running(container):
            self._engine.run("kill", container)

    def start(self, node: str) -> None:
        """Turn it on; returns once its kubelet reports that it is Ready."""
        container, before = self.container(node), self._renewed(node)
        self._engine.run("start", container)
        polling.until(
            lambda: self._renewed(node) > before and self.ready(node), f"{node} to be Ready", seconds=SECONDS
        )

    def restore(self) -> list[str]:
        """Turn on all that are off; returns their names."""
        off = sorted(self.containers().keys() - containers(self._engine, self._cluster, "running"))
        for node in off:
            self.start(node)
        return off

    def ready(self, node: str) -> bool:
        """Whether its Node is there and Ready."""
        found = self._api.find(f"/api/v1/nodes/{node}")
        return found is not None and KubeObject(found).is_true("Ready")

    def _renewed(self, node: str) -> float:
        """When its kubelet was last heard of, in seconds since the epoch; 0 if never."""
        lease = KubeObject(self._api.find(f"{LEASES}/{node}") or {})
        moment = lease.at("spec.renewTime")
        return datetime.fromisoformat(moment).timestamp() if moment else 0.0
