"""Machines that are added to a running lab, and removed again.

The node agent sees that node.json has changed and restarts with the new list; pods keep running. Refuses
names of existing nodes, and GPUs that are not listed.
"""

from __future__ import annotations

from dataclasses import replace

from localcluster.api.client import Api
from localcluster.embedded import files, kubeconfigs, nodes, pki
from localcluster.errors import BadInput
from localcluster.gpus.inventory import Inventory
from localcluster.gpus.roofline import Figures
from localcluster.layout import Layout
from localcluster.netns import plan
from localcluster.node.config import AgentConfig, NodeSpec
from localcluster.provider import NewNode


def plug_in(layout: Layout, node: NewNode) -> None:
    """Add a machine; its Node registers within seconds."""
    config = AgentConfig.load(layout.dir / "node.json")
    card = Figures.read().gpus.get(node.gpu_product)
    if node.name in {known.name for known in config.nodes} or (node.gpus and card is None):
        raise BadInput(
            f"No node {node.name} with {node.gpus} GPUs of {node.gpu_product!r} can be added.",
            cause="The node exists already, or cluster/localcluster/data/gpu/gpus.toml has no such GPU.",
            fix=f"Nodes: {', '.join(known.name for known in config.nodes)}. Or add the GPU, with "
            "its source, to that file.",
        )
    spec = NodeSpec(
        name=node.name,
        index=max(known.index for known in config.nodes) + 1,
        gpus=node.gpus,
        gpu_product=node.gpu_product,
        gpu_memory_mib=int(card["memory_mib"]) if card else 0,
        labels=dict(node.labels),
    )
    pki.ensure(layout.dir / "pki", pki.node_identities(spec.name, plan.node_ip(spec.index)))
    kubeconfigs.write_one(layout, layout.load()[1], f"node-{spec.name}")
    replace(config, nodes=(*config.nodes, spec)).save(layout.dir / "node.json")


def plug_out(layout: Layout) -> list[str]:
    """Remove every added machine with all that runs on it; returns their names."""
    spec, _ = layout.load()
    added = files.added(layout, spec)
    if not added:
        return []
    config = AgentConfig.load(layout.dir / "node.json")
    # Before that, the old agent would register its nodes again.
    nodes.tell(layout, replace(config, nodes=files.nodes(spec)))
    api = Api(layout.kubeconfig)
    for node in added:
        api.delete(f"/api/v1/nodes/{node.name}")
        _scrap(layout, node)
    return [node.name for node in added]


def _scrap(layout: Layout, node: NodeSpec) -> None:
    """Delete its GPUs, so that a later machine of that name starts with whole ones."""
    inventory = Inventory(layout.dir / "gpus")
    inventory.add(node.devices(layout.dir.name))
    inventory.recall(node.name)
    inventory.remove(node.name)
