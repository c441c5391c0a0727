"""The record of a kind lab: its settings, and the host's ports.

Refuses to guess: a record of another version is an error, not a default.
"""

from __future__ import annotations

from dataclasses import dataclass

from localcluster import stored
from localcluster.errors import ProviderError
from localcluster.layout import Layout, home
from localcluster.node.network.ports import Ports
from localcluster.provider import Spec

FIRST_NODE_PORT = 30_000
NODE_PORTS = 20
"""How many Services (and single pods) the host can reach at once; each port costs the engine a process."""

SUFFIX = ".kind"
"""Of the lab's folder: no lab's name has a dot, so a kind lab and an embedded one may share a name."""


@dataclass(frozen=True)
class Settings:
    """One kind lab; `complete` is set once everything answers."""

    spec: Spec
    registry_port: int
    host_ports: tuple[int, ...]
    """The host's ports, in the order of the node ports that they lead to."""
    complete: bool

    @property
    def cluster(self) -> str:
        """Name of the cluster; its nodes' containers begin with it."""
        return f"labkit-{self.spec.name}"

    @property
    def registry(self) -> str:
        """The name of the registry's container."""
        return f"{self.cluster}-registry"

    @property
    def node_ports(self) -> dict[int, int]:
        """Node port → port on this machine's loopback."""
        return dict(enumerate(self.host_ports, start=FIRST_NODE_PORT))

    @property
    def prometheus_port(self) -> int:
        """Where Prometheus answers on this machine: the first node port is its."""
        return self.host_ports[0]

    @classmethod
    def new(cls, spec: Spec) -> Settings:
        """With ports that are free right now."""
        registry_port, *host_ports = Ports().take(1 + NODE_PORTS)
        return cls(spec, registry_port, tuple(host_ports), complete=False)

    def save(self, layout: Layout) -> None:
        """Write the record atomically."""
        stored.save(layout.config, self, indent=1)

    @classmethod
    def load(cls, layout: Layout) -> Settings:
        """Read it; raises `ProviderError` if there is no such lab."""
        name = name_of(layout)
        try:
            return stored.load(layout.config, cls, newer=True)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ProviderError(
                f"There is no kind lab called {name!r}.",
                cause=f"It was not started under {layout.dir.parent}, or was taken down.",
                fix=f"Start one: localcluster up --provider kind --name {name}",
            ) from error
        except ValueError as error:
            raise ProviderError(
                f"{layout.config} does not match this version: {error}.",
                cause="It was edited, or written by another version.",
                fix=f"Run localcluster down --provider kind --name {name}, then up again.",
            ) from error


def layout_of(name: str) -> Layout:
    """The folder of a kind lab; raises `BadInput` for an invalid name."""
    Layout.of(name)  # checks the name
    return Layout(home() / f"{name}{SUFFIX}")


def name_of(layout: Layout) -> str:
    """The lab's name: what its folder is called, without the ending."""
    return layout.dir.name.removesuffix(SUFFIX)


def labs() -> list[str]:
    """The names of this user's kind labs."""
    return [name_of(Layout(path.parent)) for path in sorted(home().glob(f"*{SUFFIX}/lab.json"))]
