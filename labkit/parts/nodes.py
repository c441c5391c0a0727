"""`lab.nodes`: add nodes, cut their power, or simulate a thousand of them with KWOK.

Only on a cluster whose nodes labkit made.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from labkit.kube.client import Kube
from labkit.view import live, notebook
from labkit.view.verdict import Note
from localcluster import catalog, kwok
from localcluster.provider import NewNode, Provider, joining

NO_LABELS: Mapping[str, str] = MappingProxyType({})
READY = 60  # real seconds to wait for a new node to be


class Nodes:
    """Add, stop and start nodes. `lab.reset()` removes what was added and starts what was stopped."""

    def __init__(self, kube: Kube, provider: Provider) -> None:
        self._kube, self._provider = kube, provider

    def plug_in(
        self,
        name: str,
        *,
        gpus: int = 0,
        gpu_product: str = "NVIDIA-L4",
        labels: Mapping[str, str] = NO_LABELS,
    ) -> None:
        """Add a simulated node with this many GPUs of one model."""
        joining(self._provider).plug_in(NewNode(name, gpus, gpu_product, labels))
        live.until(self._kube, [f"node/{name} ready"], seconds=READY)

    def stop(self, name: str) -> None:
        """Cut a node's power: its containers die, and the control plane gets no notice."""
        catalog.machines(self._provider).stop_node(name)
        notebook.show(Note(f"{name} is off"))

    def start(self, name: str) -> None:
        """Restore a node's power and wait until it is Ready."""
        catalog.machines(self._provider).start_node(name)
        notebook.show(Note(f"{name} is Ready"))

    def kwok(self, number: int) -> None:
        """Add this many KWOK-simulated GPU nodes; 0 removes them."""
        place = notebook.Place()
        kwok.scale(self._kube.api, self._provider, nodes=number, report=lambda line: place.show(Note(line)))
