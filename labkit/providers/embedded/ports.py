"""The ports of a lab's own servers: free ones, chosen once; which component listens on which."""

from __future__ import annotations

import random
from dataclasses import fields

from labkit.errors import ProviderError
from labkit.node.ports import RANGE, is_free
from labkit.providers.embedded.layout import Ports

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
    dice = random.SystemRandom()
    names = [f.name for f in fields(Ports)]
    free = (p for p in dice.sample(RANGE, len(RANGE)) if is_free(p))
    try:
        return Ports(**{name: next(free) for name in names})
    except StopIteration as error:
        raise ProviderError(
            f"No {len(names)} free ports in {RANGE.start} to {RANGE.stop} on 127.0.0.1.",
            fix="`labkit ls` shows labs that still run; take down what you don't need.",
        ) from error


def taken(ports: Ports) -> list[str]:
    """Names of those ports that somebody listens on."""
    return [f.name for f in fields(Ports) if not is_free(getattr(ports, f.name))]
