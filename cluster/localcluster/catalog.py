"""Where a cluster comes from: providers by name.

Other packages can add providers under the entry point `localcluster.providers`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from localcluster.embedded.provider import Embedded
from localcluster.errors import BadInput
from localcluster.provider import Endpoint, Machines, Provider, Report, Spec, only_embedded


def _kind(lab: str | None) -> Provider:
    # It imports a Kubernetes client and an image builder, which `localcluster up` without kind does not need.
    from localcluster.kind.provider import Kind  # noqa: PLC0415

    return Kind(lab)


PROVIDERS: dict[str, Callable[[str | None], Provider]] = {
    "embedded": Embedded,
    "kind": _kind,
}

ADDED = "localcluster.providers"

__all__ = ["PROVIDERS", "Endpoint", "Provider", "Report", "Spec", "get", "names"]


def names() -> list[str]:
    """The providers that `get` knows, those of other packages last."""
    return [*PROVIDERS, *sorted(point.name for point in entry_points(group=ADDED))]


def get(name: str, lab: str | None = None) -> Provider:
    """The provider called `name`; `lab` is a lab's name, or whatever the provider identifies clusters by."""
    if name in PROVIDERS:
        return PROVIDERS[name](lab)
    for point in entry_points(group=ADDED, name=name):
        make: Callable[[str | None], Provider] = point.load()
        return make(lab)
    raise BadInput(f"There is no provider called {name!r}.", fix=f"Choose one of: {', '.join(names())}.")


def machines(provider: Provider) -> Machines:
    """The provider, if it can turn its nodes off; raises `BadInput` if it can't."""
    if not isinstance(provider, Machines):
        raise only_embedded(
            f"The provider {provider.name} can't turn nodes off and on.",
            cause="It does not own its machines.",
        )
    return provider
