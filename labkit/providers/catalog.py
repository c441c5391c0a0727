"""Where a cluster comes from: one narrow seam, chosen by name."""

from __future__ import annotations

from collections.abc import Callable

from labkit.errors import BadInput
from labkit.providers.base import Endpoint, Machines, Provider, Report, Spec, only_embedded
from labkit.providers.embedded.provider import Embedded


def _kind(lab: str | None) -> Provider:
    # A Kubernetes client and a builder of images: `labkit up` without kind must not pay for them.
    from labkit.providers.kind.provider import Kind  # noqa: PLC0415

    return Kind(lab)


def _existing(context: str | None) -> Provider:
    # It needs the Kubernetes client, too.
    from labkit.providers.existing import Existing  # noqa: PLC0415

    return Existing(context)


PROVIDERS: dict[str, Callable[[str | None], Provider]] = {
    "embedded": Embedded,
    "kind": _kind,
    "existing": _existing,
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


def machines(provider: Provider) -> Machines:
    """The provider, where its nodes are its own to switch off; raises `BadInput` where they are not."""
    if not isinstance(provider, Machines):
        raise only_embedded(
            f"The provider {provider.name} can't switch nodes off and on.",
            cause="Its machines are not labkit's.",
        )
    return provider
