"""The seam between the lab and wherever its cluster comes from. As narrow as it can be.

Refuses to know what a pod, a notebook or a check is: a provider makes a cluster reachable, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from labkit.errors import BadInput
from labkit.kube.objects import KubeObject

Report = Callable[[str], None]
"""Takes one line about what goes on; a provider calls it whenever a step began or ended."""


def silent(_line: str) -> None:
    """A `Report` for callers that want none."""


@dataclass(frozen=True)
class Spec:
    """What the learner asked for. Times are compressed by `clock`; memory is in MiB."""

    name: str = "lab"
    clock: float = 15.0
    gpu_nodes: int = 3
    gpus_per_node: int = 4
    gpu_product: str = "NVIDIA-L4"
    gpu_memory_mib: int = 23034
    cpu_nodes: int = 1
    isolation: str = "bubblewrap"
    node_image: str = ""
    """kind: the image of its nodes; empty for kind's own choice."""
    node_patches: str = ""
    """kind: a file with kubeadm patches that this machine's nodes need beside ours."""
    gpus: str = "simulated"
    """kind: or `real`, where the host has NVIDIA's GPUs and container toolkit."""
    keep: bool = False
    """kind: leave the nodes of a start that failed, for a look at them."""


@dataclass(frozen=True)
class Endpoint:
    """An HTTPS server and the files that a client needs to talk to it (None: no certificate)."""

    url: str
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    authorization: str = field(default="", repr=False)
    """The value of that header, where the server is reached by way of an API server that wants a token."""


@dataclass(frozen=True)
class RegistryAccess:
    """A registry with a login: its name in image references, where it really answers, who may push."""

    host: str
    url: str
    ca: Path
    username: str
    password: str = field(repr=False)
    builder: str = ""
    """docker or podman, where what is pushed there must be complete; empty where labkit builds."""


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
    """A provider whose machines are simulated, so that one can be plugged in while the cluster runs."""

    def plug_in(self, node: NewNode) -> None:
        """Add a machine; its Node registers by itself."""
        ...

    def plug_out(self) -> list[str]:
        """Take away every machine that was plugged in, with what runs on it; their names."""
        ...


def only_embedded(what: str, *, cause: str) -> BadInput:
    """What to raise where a step of the course needs a cluster that is labkit's own."""
    return BadInput(
        what, cause=cause, fix="Do this part on the embedded cluster: labkit up, PROVIDER = 'embedded'."
    )


def joining(provider: object) -> TakesNodes:
    """The provider as one whose machines are simulated; `BadInput` where they are real."""
    if isinstance(provider, TakesNodes):
        return provider
    raise only_embedded(
        "No machine can be plugged into this cluster from here.",
        cause="Its nodes are real, or containers of their own.",
    )


class Provider(Protocol):
    """A place that clusters come from."""

    name: str
    owns_cluster: bool
    """False: `down` deletes nothing that labkit did not create."""

    @property
    def simulates(self) -> str:
        """What is not real there, for the stamp on plots and tables."""
        ...

    def missing(self) -> str | None:
        """Why it can't run on this machine, with the fix; None where it can."""
        ...

    def up(self, spec: Spec, report: Report = silent) -> Path:
        """Make the cluster usable and return its kubeconfig. Idempotent; rolls back where it fails."""
        ...

    def transcript(self, spec: Spec) -> str:
        """What `up` would do, step by step, for a reader; does nothing."""
        ...

    def down(self, report: Report = silent) -> None:
        """Take away everything that `up` made, and nothing else. Idempotent."""
        ...

    def logs(self, into: Path) -> list[Path]:
        """Copy the logs of the cluster's own parts into a folder; the paths written."""
        ...

    def kubeconfig(self) -> Path:
        """The kubeconfig of the cluster that runs; raises `ProviderError` where none does."""
        ...

    def spec(self) -> Spec:
        """What the running cluster was made from; raises `ProviderError` where none runs."""
        ...

    def prometheus(self) -> Endpoint:
        """Where PromQL is answered."""
        ...

    def registry(self) -> RegistryAccess | None:
        """The registry that comes with the cluster; None where its owner looks after images."""
        ...

    def audit_logs(self) -> Path | None:
        """Where API server and adapter write down who asked what; None where nobody lets us read it."""
        ...

    def address(self, namespace: str, service: str, port: int) -> str:
        """Base URL under which a port of a Service answers on this machine."""
        ...

    def pod_address(self, pod: KubeObject) -> str:
        """`host:port` under which a pod's first port answers on this machine; empty while it has none."""
        ...

    def kill(self, pod: KubeObject) -> int:
        """SIGKILL, from outside, for the first process of a pod's first container; its pid where it runs."""
        ...

    def parts(self) -> list[Part]:
        """What runs, for `labkit status`; raises `ProviderError` where there is no such lab."""
        ...


@runtime_checkable
class Machines(Protocol):
    """What a provider can do besides, if its nodes are its own: take their power, and give it back."""

    def stop_node(self, name: str) -> None:
        """Cut a node's power: it falls silent, and nobody is told."""
        ...

    def start_node(self, name: str) -> None:
        """Give it back, and wait until the node is Ready."""
        ...

    def restore_nodes(self) -> list[str]:
        """Give it back to all that are without; their names."""
        ...


@runtime_checkable
class RunsKwok(Protocol):
    """A provider that can run KWOK beside its control plane."""

    def start_kwok(self) -> None:
        """Run it; safe to repeat."""
        ...

    def stop_kwok(self) -> None:
        """End it; safe to repeat."""
        ...
