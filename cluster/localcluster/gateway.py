"""An inference gateway in front of a cluster's model servers: started on demand, removed without a trace."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import yaml

from localcluster.errors import BadInput
from localcluster.provider import Pool, Provider, RunsGateway, only_embedded

Report = Callable[[str], None]

SERVICE = "llm-gateway"
"""The Service that leads to it, in the namespace of the model servers; port 80."""


CONFIG = "EndpointPickerConfig"


def start(provider: Provider, pool: Pool, *, config: str = "", report: Report) -> None:
    """Run it; returns once it takes requests."""
    if not isinstance(provider, RunsGateway):
        raise only_embedded(
            f"The provider {provider.name} can't run a gateway.",
            cause="A gateway has custom resources and a proxy of its own; a cluster's owner installs it.",
        )
    if config:
        read(config)
    began = time.monotonic()
    report("starting the gateway (the first time its endpoint picker is built, which takes minutes)")
    provider.start_gateway(pool, config)
    report(f"service/{SERVICE} takes requests after {time.monotonic() - began:.1f} s")


def read(config: str) -> dict[str, Any]:
    """A picker's configuration; raises `BadInput` for what it would end at, and say so only in its log."""
    try:
        found = yaml.safe_load(config)
    except yaml.YAMLError as error:
        raise BadInput(
            f"The picker's configuration is not YAML: {error}", fix="Compare it with the file as it was."
        ) from error
    kind = found.get("kind") if isinstance(found, dict) else type(found).__name__
    if not isinstance(found, dict) or kind != CONFIG:
        raise BadInput(
            f"The gateway takes an {CONFIG}, not {kind}.",
            cause="Another file was named: InferencePools and InferenceObjectives are applied (lab.apply).",
            fix="lab.gateway() alone takes the lab's own configuration.",
        )
    return found


def remove(provider: Provider) -> None:
    """End it. Safe to repeat."""
    if isinstance(provider, RunsGateway):
        provider.stop_gateway()
