"""Where a class is graded: on clusters of the workers' own, or on an existing one.

On `embedded` each worker brings a cluster up and takes it down. On `kind` and `existing` there is one, which
stays as it is: one worker is a guest in one of its namespaces. Refuses a cluster that can't be used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labkit.errors import BadInput, ProviderError
from localcluster import catalog
from localcluster.provider import Provider

CLOCK = 15.0
OWN = "embedded"
NAMED_BY: Mapping[str, str] = {"kind": "LABKIT_LAB", "existing": "LABKIT_CONTEXT"}
"""The variable by which a worker learns which cluster is meant."""


@dataclass(frozen=True)
class Site:
    """A provider, its lab's or context's name (empty for the current one), and its cluster's clock."""

    provider: str = OWN
    name: str = ""
    clock: float = CLOCK

    @classmethod
    def chosen(cls, provider: str, name: str | None = None) -> Site:
        """Look at the cluster; raises `ProviderError` if there is none, or the course can't start on it."""
        if provider == OWN:
            if name:
                raise BadInput(
                    "On embedded, each worker has its own lab.", fix="Omit --name, or add -p kind."
                )
            return cls()
        found = catalog.get(provider, name)
        found.kubeconfig()
        if not found.owns_cluster and (why := found.missing()):
            raise ProviderError(why)
        return cls(provider, name or "", found.spec().clock)

    def __str__(self) -> str:
        return f"{self.provider} {self.name}".rstrip()

    @property
    def own(self) -> bool:
        """Whether each worker has a cluster to itself, so that nothing done to it harms anyone else."""
        return self.provider == OWN

    @property
    def is_labkits(self) -> bool:
        """Whether the cluster is labkit's: then nothing in the course's namespace is anyone else's."""
        return self.connected().owns_cluster

    @property
    def environment(self) -> dict[str, str]:
        """The environment that tells a process which cluster to use."""
        return {NAMED_BY[self.provider]: self.name} if self.name else {}

    def connected(self) -> Provider:
        """The provider of the shared cluster."""
        return catalog.get(self.provider, self.name or None)


HERE = Site()
"""On each worker's own cluster."""
