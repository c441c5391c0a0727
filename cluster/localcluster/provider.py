"""The interface between a cluster and its users, as narrow as possible.

It knows nothing of pods, notebooks or checks: a provider only makes a cluster reachable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from localcluster.api.objects import KubeObject
from localcluster.errors import BadInput

Report = Callable[[str], None]
"""Takes one line of progress; a provider calls it whenever a step begins or ends."""


def silent(_line: str) -> None:
    """A `Report` for callers that want none."""


@dataclass(frozen=True)
class Spec:
    """The requested settings. Times are divided by `clock`; memory is in MiB."""

    name: str = "lab"
    clock: float = 15.0
    gpu_nodes: int = 3
    gpus_per_node: int = 4
    gpu_product: str = "NVIDIA-L4"
    gpu_memory_mib: int = 23034
    cpu_nodes: int = 1
    isolation: str = "bubblewrap"
    memory_mib: int = 0
    """embedded: what all pods together may hold of this machine's memory; 0: only what their limits say."""
    node_image: str = ""
    """kind: the image of its nodes; empty for kind's own choice."""
    node_patches: str = ""
    """kind: a file with kubeadm patches that this machine's nodes need in addition to ours."""
    gpus: str = "simulated"
    """kind: or `real`, where the host has NVIDIA's GPUs and container toolkit."""
    keep: bool = False
    """kind: keep the nodes of a failed start for inspection."""

    @property
    def isolated(self) -> bool:
        """Whether containers are isolated, and so the lab has a network of its own."""
        return self.isolation != "none"


@dataclass(frozen=True)
class Endpoint:
    """An HTTPS server and the files that a client needs to talk to it (None: no certificate)."""

    url: str
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    authorization: str = field(default="", repr=False)
    """The value of that header, if the server is reached through an API server that requires a token."""


@dataclass(frozen=True)
class RegistryAccess:
    """A registry with a login: its name in image references, its real address, and the login."""

    host: str
    url: str
    ca: Path
    username: str
    password: str = field(repr=False)
    builder: str = ""
    """docker or podman, if images there must be complete; empty if our builder can be used."""


@dataclass(frozen=True)
class Part:
    """One running part of a lab: its state (`ready`, or why not), where it is, and what it is for."""

    name: str
    state: str
    does: str
    pid: int | None = None
    port: int | None = None


@dataclass(frozen=True)
class NewNode:
    """A machine that joins a running cluster."""

    name: str
    gpus: int = 0
    gpu_product: str = "NVIDIA-L4"
    labels: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class TakesNodes(Protocol):
    """A provider with simulated machines, so that more can be added while the cluster runs."""

    def plug_in(self, node: NewNode) -> None:
        """Add a machine; its Node registers by itself."""
        ...

    def plug_out(self) -> list[str]:
        """Remove every machine that was added, with what runs on it; returns their names."""
        ...


def only_embedded(what: str, *, cause: str) -> BadInput:
    """The error for a step that needs the embedded cluster."""
    return BadInput(
        what,
        cause=cause,
        fix="Do this part on the embedded cluster: localcluster up, and PROVIDER = 'embedded'.",
    )


def joining(provider: object) -> TakesNodes:
    """The provider, if its machines are simulated; raises `BadInput` if not."""
    if isinstance(provider, TakesNodes):
        return provider
    raise only_embedded(
        "Machines can't be added to this cluster from here.",
        cause="Its nodes are real machines, or containers.",
    )


class Provider(Protocol):
    """A source of clusters."""

    name: str
    owns_cluster: bool
    """False: `down` deletes nothing that labkit did not create."""

    @property
    def simulates(self) -> str:
        """What is simulated, for the stamp on plots and tables."""
        ...

    def missing(self) -> str | None:
        """Why it can't run on this machine, with the fix; None if it can."""
        ...

    def up(self, spec: Spec, report: Report = silent) -> Path:
        """Start the cluster and return its kubeconfig. Idempotent; rolls back if it fails."""
        ...

    def transcript(self, spec: Spec) -> str:
        """What `up` would do, step by step, for a reader; does nothing."""
        ...

    def down(self, report: Report = silent) -> None:
        """Remove everything that `up` made, and nothing else. Idempotent."""
        ...

    def logs(self, into: Path) -> list[Path]:
        """Copy the logs of the cluster's own parts into a folder; the paths written."""
        ...

    def kubeconfig(self) -> Path:
        """The kubeconfig of the cluster that runs; raises `ProviderError` if none does."""
        ...

    def spec(self) -> Spec:
        """What the running cluster was made from; raises `ProviderError` if none runs."""
        ...

    def prometheus(self) -> Endpoint:
        """Where Prometheus answers."""
        ...

    def registry(self) -> RegistryAccess | None:
        """The registry that comes with the cluster; None if its owner manages images."""
        ...

    def audit_logs(self) -> Path | None:
        """The audit logs of API server and adapter; None if we can't read them."""
        ...

    def address(self, namespace: str, service: str, port: int) -> str:
        """Base URL under which a port of a Service answers on this machine."""
        ...

    def pod_address(self, pod: KubeObject) -> str:
        """`host:port` under which a pod's first port answers on this machine; empty while it has none."""
        ...

    def kill(self, pod: KubeObject) -> int:
        """SIGKILL, from outside, for the first process of a pod's first container; its pid if it runs."""
        ...

    def parts(self) -> list[Part]:
        """What runs, for `localcluster status`; raises `ProviderError` if there is no such lab."""
        ...


@runtime_checkable
class Machines(Protocol):
    """What a provider can also do if it owns its nodes: turn them off and on."""

    def stop_node(self, name: str) -> None:
        """Turn a node off: it stops reporting, without notice."""
        ...

    def start_node(self, name: str) -> None:
        """Turn it on, and wait until the node is Ready."""
        ...

    def restore_nodes(self) -> list[str]:
        """Turn on all that are off; returns their names."""
        ...


@dataclass(frozen=True)
class Inside:
    """A server as processes in the cluster's own network reach it, and how to start one there."""

    url: str
    enter: tuple[str, ...]
    """The words before a command."""


@runtime_checkable
class OwnNetwork(Protocol):
    """A provider whose cluster has a network of its own on this machine."""

    def inside(self, url: str) -> Inside | None:
        """The server behind an address that `address` or `pod_address` gave; None for any other."""
        ...


@runtime_checkable
class RunsKwok(Protocol):
    """A provider that can run KWOK next to its control plane."""

    def start_kwok(self) -> None:
        """Run it; safe to repeat."""
        ...

    def stop_kwok(self) -> None:
        """Stop it; safe to repeat."""
        ...


@dataclass(frozen=True)
class Pool:
    """The model servers behind a gateway: pods by their label `app`, and the port on which they listen."""

    namespace: str
    app: str = "llm-model"
    port: int = 8000
    name: str = "llm-pool"


@runtime_checkable
class RunsGateway(Protocol):
    """A provider that can run an inference gateway in its cluster."""

    def start_gateway(self, pool: Pool, config: str = "") -> None:
        """Run it; `config` is an EndpointPickerConfig. Safe to repeat."""
        ...

    def stop_gateway(self) -> None:
        """Stop it and remove its objects; safe to repeat."""
        ...


@runtime_checkable
class RunsKeda(Protocol):
    """A provider that can run KEDA next to its control plane."""

    def start_keda(self) -> None:
        """Run it; returns once external.metrics.k8s.io answers. Safe to repeat."""
        ...

    def stop_keda(self) -> None:
        """Stop it and remove its objects; safe to repeat."""
        ...
