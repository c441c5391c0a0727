"""The ports of a lab's own servers: free ones, chosen once; which component listens on which.

Neighbours of each other, and never a pod's: two labs that start at once then rarely choose the same.
"""

from __future__ import annotations

import random
from dataclasses import fields

from labkit.errors import ProviderError
from labkit.node.network.ports import is_free
from labkit.providers.embedded.layout import Ports

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


def choose() -> Ports:
    """A free port for each server; raises `ProviderError` where the range is exhausted."""
    names = [f.name for f in fields(Ports)]
    blocks = range(RANGE.start, RANGE.stop - len(names) + 1, len(names))
    for first in random.SystemRandom().sample(blocks, len(blocks)):
        ports = Ports(**dict(zip(names, range(first, first + len(names)), strict=True)))
        if not taken(ports):
            return ports
    raise ProviderError(
        f"No {len(names)} free ports side by side in {RANGE.start} to {RANGE.stop} on 127.0.0.1.",
        fix="`labkit ls` shows labs that still run; take down what you don't need.",
    )


def taken(ports: Ports) -> list[str]:
    """Names of those ports that somebody listens on."""
    return [f.name for f in fields(Ports) if not is_free(getattr(ports, f.name))]
