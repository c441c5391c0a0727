"""Where a cluster comes from: one narrow seam, chosen by name."""

from __future__ import annotations

from collections.abc import Callable

from labkit.errors import BadInput
from labkit.providers.base import Endpoint, Provider, Report, Spec
from labkit.providers.embedded.provider import Embedded
from labkit.providers.existing import Existing
from labkit.providers.kind.provider import Kind

PROVIDERS: dict[str, Callable[[str | None], Provider]] = {
    "embedded": Embedded,
    "kind": Kind,
    "existing": Existing,
}

__all__ = ["PROVIDERS", "Endpoint", "Provider", "Report", "Spec", "get"]


def get(name: str, lab: str | None = None) -> Provider:
    """The provider called `name`; `lab` is a lab's name, or a kubeconfig context (existing)."""
    try:
        return PROVIDERS[name](lab)
    except KeyError:
        raise BadInput(
            f"There is no provider called {name!r}.", fix=f"Choose one of: {', '.join(PROVIDERS)}."
        ) from None
