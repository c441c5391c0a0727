"""The kind lab that tests and benchmarks start: node image and kubeadm patches are the machine's choice."""

import os

from localcluster.provider import Spec


def wanted(name: str = "lab", *, clock: float = 15.0) -> Spec:
    """A lab of LABKIT_KIND_NODE_IMAGE and LABKIT_KIND_NODE_PATCHES; of kind's own where they are not set."""
    return Spec(
        name=name,
        clock=clock,
        node_image=os.environ.get("LABKIT_KIND_NODE_IMAGE", ""),
        node_patches=os.environ.get("LABKIT_KIND_NODE_PATCHES", ""),
    )
