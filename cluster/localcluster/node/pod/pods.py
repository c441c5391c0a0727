"""What runs on the nodes right now: the one view that workers write and the kubelet endpoints read.

Everything lives in one event loop, so there are no locks. It keeps no history and makes no requests: the
pod's folder on disk is the record that survives the agent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from localcluster.api import Json
from localcluster.gpus.holder import Holder


@dataclass
class RunningContainer:
    """The latest run of one container, init containers too; `pid` is None unless it runs.

    `pid` is the host's pid of the container's pid 1: its children are the container's processes.
    `env` is what the container was given; `exec` must run with it. `ports` maps containerPort to where it
    really is, `ip:port`. `usage_files` are what a simulated GPU's holder writes, one for each device.
    """

    name: str
    container_id: str  # "labkit://<hex>", as in the pod's status
    image: str
    image_id: str
    folder: Path
    log_path: Path
    previous_log_path: Path | None = None
    pid: int | None = None
    started_at: float = 0.0  # seconds since the epoch
    restart_count: int = 0
    ports: dict[int, str] = field(default_factory=dict)
    gpus: tuple[str, ...] = ()
    usage_files: tuple[Path, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    isolated: bool = True  # False: the stated fallback, the process sees the host's files

    @property
    def running(self) -> bool:
        """Whether its process is alive as far as the agent knows."""
        return self.pid is not None


@dataclass
class RunningPod:
    """One pod of one of our nodes, from the moment it is seen until its object is gone."""

    uid: str
    namespace: str
    name: str
    node: str
    folder: Path
    spec: Json = field(default_factory=dict)
    status: Json = field(default_factory=dict)  # as last written to the API server
    containers: dict[str, RunningContainer] = field(default_factory=dict)
    holds: bool = False  # admitted and not ending: its requests count
    metadata: Json = field(default_factory=dict)  # as last seen

    def runs(self, run: RunningContainer) -> bool:
        """Whether this run of a container continues."""
        now = self.containers.get(run.name)
        return now is not None and now.running and now.container_id == run.container_id


class PodTable:
    """The pods of all nodes, by uid."""

    def __init__(self) -> None:
        self._pods: dict[str, RunningPod] = {}

    def put(self, pod: RunningPod) -> None:
        """Add or replace."""
        self._pods[pod.uid] = pod

    def remove(self, uid: str) -> None:
        """Remove, if it is there."""
        self._pods.pop(uid, None)

    def get(self, namespace: str, name: str) -> RunningPod | None:
        """The pod of that name; the newest where an old one of the same name is still ending."""
        found = [p for p in self._pods.values() if (p.namespace, p.name) == (namespace, name)]
        return found[-1] if found else None

    def list(self, node: str) -> list[RunningPod]:
        """The pods of one node."""
        return [p for p in self._pods.values() if p.node == node]

    def held(self, node: str) -> tuple[Json, ...]:
        """The specs of the pods whose requests count on one node."""
        return tuple(p.spec for p in self.list(node) if p.holds)

    def gpu_holders(self, node: str) -> dict[str, Holder]:
        """Who holds each GPU of one node (UUID -> container); of a shared one the first."""
        return {gpu: tenants[0] for gpu, tenants in self._tenants(node).items()}

    def sole_gpu_holders(self, node: str) -> dict[str, Holder]:
        """The same without shared GPUs: DCGM's exporter does not tell tenants apart either."""
        return {gpu: tenants[0] for gpu, tenants in self._tenants(node).items() if len(tenants) == 1}

    def _tenants(self, node: str) -> dict[str, tuple[Holder, ...]]:
        found: dict[str, tuple[Holder, ...]] = {}
        for pod in self.list(node):
            if pod.status.get("phase") in {"Succeeded", "Failed"}:
                continue  # it has released it
            for container in pod.containers.values():
                for gpu in container.gpus:
                    holder = Holder(pod.namespace, pod.name, container.name)
                    found[gpu] = (*found.get(gpu, ()), holder)
        return found

    def __iter__(self) -> Iterator[RunningPod]:
        return iter(list(self._pods.values()))
