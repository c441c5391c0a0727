"""Machines that are plugged into a running lab, and out again.

The node agent sees that node.json has changed and is started anew with the new list; what runs goes on.
Refuses names that a node has already, and GPUs that nobody has listed.
"""

from __future__ import annotations

from dataclasses import replace

from labkit.errors import BadInput
from labkit.gpus.inventory import Inventory
from labkit.gpus.roofline import Figures
from labkit.node.config import AgentConfig, NodeSpec
from labkit.providers.base import NewNode
from labkit.providers.embedded import files, kubeconfigs, nodes, pki
from labkit.providers.embedded.api import Api
from labkit.providers.embedded.layout import Layout


def plug_in(layout: Layout, node: NewNode) -> None:
    """Add a machine; its Node registers within seconds."""
    config = AgentConfig.load(layout.dir / "node.json")
    card = Figures.read().gpus.get(node.gpu_product)
    if node.name in {known.name for known in config.nodes} or (node.gpus and card is None):
        raise BadInput(
            f"No node {node.name} with {node.gpus} GPUs of {node.gpu_product!r} can be added.",
            cause="There is a node of that name, or nobody has listed such a GPU in cluster/gpu/gpus.toml.",
            fix=f"Nodes: {', '.join(known.name for known in config.nodes)}. Or add the card with its source.",
        )
    spec = NodeSpec(
        name=node.name,
        index=max(known.index for known in config.nodes) + 1,
        gpus=node.gpus,
        gpu_product=node.gpu_product,
        gpu_memory_mib=int(card["memory_mib"]) if card else 0,
        labels=dict(node.labels),
    )
    pki.ensure(layout.dir / "pki", pki.node_identities(spec.name))
    kubeconfigs.write(layout, layout.load()[1], [spec.name])
    replace(config, nodes=(*config.nodes, spec)).save(layout.dir / "node.json")


def plug_out(layout: Layout) -> list[str]:
    """Take every guest away with all that runs on it; their names."""
    spec, ports = layout.load()
    guests = files.guests(layout, spec)
    if not guests:
        return []
    config = AgentConfig.load(layout.dir / "node.json")
    # Before that, the old agent would register its nodes again.
    nodes.tell(layout, replace(config, nodes=files.nodes(spec)))
    with Api(layout, ports) as api:
        for guest in guests:
            api.delete(f"/api/v1/nodes/{guest.name}")
            _scrap(layout, guest)
    return [guest.name for guest in guests]


def _scrap(layout: Layout, guest: NodeSpec) -> None:
    """Its GPUs, so that a later machine of that name begins with whole ones."""
    inventory = Inventory(layout.dir / "gpus")
    inventory.add(guest.devices(layout.dir.name))
    inventory.recall(guest.name)
    inventory.remove(guest.name)
