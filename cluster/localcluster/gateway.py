"""An inference gateway in front of a cluster's model servers: started on demand, removed without a trace."""

from __future__ import annotations

import time
from collections.abc import Callable

from localcluster.provider import Pool, Provider, RunsGateway, only_embedded

Report = Callable[[str], None]

SERVICE = "llm-gateway"
"""The Service that leads to it, in the namespace of the model servers; port 80."""


def start(provider: Provider, pool: Pool, *, config: str = "", report: Report) -> None:
    """Run it; returns once it takes requests."""
    if not isinstance(provider, RunsGateway):
        raise only_embedded(
            f"The provider {provider.name} can't run a gateway.",
            cause="A gateway has custom resources and a proxy of its own; a cluster's owner installs it.",
        )
    began = time.monotonic()
    report("starting the gateway (the first time its endpoint picker is built, which takes minutes)")
    provider.start_gateway(pool, config)
    report(f"service/{SERVICE} takes requests after {time.monotonic() - began:.1f} s")


def remove(provider: Provider) -> None:
    """End it. Safe to repeat."""
    if isinstance(provider, RunsGateway):
        provider.stop_gateway()
