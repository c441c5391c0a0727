"""The ports of a lab's own servers: free ones, chosen once; which component listens on which.

They are consecutive, and never used for pods: so labs that start at the same time rarely choose the same.
"""

from __future__ import annotations

import random
from dataclasses import fields

from localcluster.errors import ProviderError
from localcluster.layout import Ports
from localcluster.node.network.ports import is_free

RANGE = range(20_000, 22_000)
COMPONENT = {
    "api": "kube-apiserver",
    "controller_manager": "kube-controller-manager",
    "scheduler": "kube-scheduler",
    "registry": "registry",
    "prometheus": "prometheus",
    "adapter": "prometheus-adapter",
}
"""Which component listens on which of the ports."""

DOORS = ("api", "registry", "prometheus")
"""Those that are open on this machine, if the lab has a network of its own."""


def choose() -> Ports:
    """A free port for each server; raises `ProviderError` if the range is exhausted."""
    names = [f.name for f in fields(Ports)]
    blocks = range(RANGE.start, RANGE.stop - len(names) + 1, len(names))
    for first in random.SystemRandom().sample(blocks, len(blocks)):
        ports = Ports(**dict(zip(names, range(first, first + len(names)), strict=True)))
        if not taken(ports):
            return ports
    raise ProviderError(
        f"There are no {len(names)} consecutive free ports between {RANGE.start} and "
        f"{RANGE.stop} on 127.0.0.1.",
        fix="See `localcluster ls` for running labs, and take down those that you don't need.",
    )


def taken(ports: Ports) -> list[str]:
    """Names of those ports that are in use."""
    return [f.name for f in fields(Ports) if not is_free(getattr(ports, f.name))]
