"""How long a node takes for an image that declares a size: simulated, and its messages say so.

A 10 GB image is not really downloaded to a laptop. The real image is a few MB over the loopback; with the
label `dev.labkit.simulated-bytes` it says how large it would be; the node then waits as long as that many
bytes would take. Download and unpacking come one after the other, as containerd does it. Refuses to slow down
an image that declares nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from localcluster.images.declared import declared
from localcluster.images.rootfs import RunnableImage


@dataclass(frozen=True)
class Arrival:
    """What an image of `size` bytes takes, lab seconds."""

    size: int
    download: float
    unpack: float

    @property
    def seconds(self) -> float:
        """Until it can be run."""
        return self.download + self.unpack

    @property
    def words(self) -> str:
        """What the event says about it."""
        parts = f"download {self.download:.1f} s, unpack {self.unpack:.1f} s"
        return f"SIMULATED size and time: {parts} of lab time."


@dataclass(frozen=True)
class Link:
    """A node's way to a registry, bytes per lab second."""

    download_rate: float
    unpack_rate: float

    def arrival(self, image: RunnableImage) -> Arrival | None:
        """What this image would take; None if it declares no larger size."""
        size = declared(image.config.labels)
        return Arrival(size, size / self.download_rate, size / self.unpack_rate) if size else None


def size_of(image: RunnableImage) -> int:
    """The size of an image that the node reports to the cluster."""
    return declared(image.config.labels) or image.size_bytes
