"""An inference gateway in front of a cluster's model servers: started on demand, removed without a trace."""

from __future__ import annotations

import time
from collections.abc import Callable

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
    _refuse_other(config)
    began = time.monotonic()
    report("starting the gateway (the first time its endpoint picker is built, which takes minutes)")
    provider.start_gateway(pool, config)
    report(f"service/{SERVICE} takes requests after {time.monotonic() - began:.1f} s")


def _refuse_other(config: str) -> None:
    """Raise for what the picker could not even read: it would end at once, and say so only in its log."""
    try:
        found = yaml.safe_load(config) if config else {"kind": CONFIG}
    except yaml.YAMLError as error:
        raise BadInput(
            f"The picker's configuration is not YAML: {error}", fix="Compare it with the file as it was."
        ) from error
    kind = found.get("kind") if isinstance(found, dict) else type(found).__name__
    if kind != CONFIG:
        raise BadInput(
            f"The gateway takes an {CONFIG}, not {kind}.",
            cause="Another file was named: InferencePools and InferenceObjectives are applied (lab.apply).",
            fix="lab.gateway() alone takes the lab's own configuration.",
        )


def remove(provider: Provider) -> None:
    """End it. Safe to repeat."""
    if isinstance(provider, RunsGateway):
        provider.stop_gateway()
