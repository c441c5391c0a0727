"""The container that holds a GPU, in Kubernetes' terms."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Holder:
    """One container of one pod."""

    namespace: str
    pod: str
    container: str

    @property
    def labels(self) -> dict[str, str]:
        """As DCGM's exporter names it."""
        return {"namespace": self.namespace, "pod": self.pod, "container": self.container}
