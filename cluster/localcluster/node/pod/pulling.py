"""Images as one node has them: which are present, and how the others are fetched.

A node has the images that it pulled itself, under the name in the pod: an image that was only built on this
machine is on no node, and a tag that moved in the registry keeps its old meaning here until it is pulled
again. `localcluster.images` does the pulling.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster import stored
from localcluster.api import Json
from localcluster.errors import ImageError, LabError
from localcluster.images.credentials import Credentials
from localcluster.images.failure import pull_message
from localcluster.images.pull import pull
from localcluster.images.reference import Reference, parse
from localcluster.images.registry import OTHERS, Mirror
from localcluster.images.rootfs import RunnableImage, unpack
from localcluster.images.store import Store
from localcluster.netns.outward import Outward
from localcluster.node.config import Registry
from localcluster.node.pod.link import Arrival, Link, size_of


class PullFailure(Exception):
    """There is no image; `reason` is the container's waiting reason (ErrImagePull, InvalidImageName, ...)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Pulled:
    """An image that was fetched; `arrival` is the simulated part, None if nothing was simulated."""

    image: RunnableImage
    arrival: Arrival | None

    @property
    def size_bytes(self) -> int:
        """As in the event."""
        return self.arrival.size if self.arrival else size_of(self.image)


@dataclass(frozen=True)
class Way:
    """How this node's pulls go: through which registries, over which link, on which clock.

    `outward` leads to all other registries, from a lab with its own network.
    """

    registries: Sequence[Registry]
    link: Link
    clock: float
    outward: Outward | None = None


class NodeImages:
    """The images of one node."""

    def __init__(self, *, record: Path, store: Store, way: Way) -> None:
        self._record = record
        self._store = store
        self._way = way
        self._mirrors = [Mirror(r.host, r.url, r.ca) for r in way.registries]
        if way.outward:
            self._mirrors.append(Mirror(OTHERS, "", outward=way.outward))
        self._locks: dict[str, asyncio.Lock] = {}
        self._ready: dict[str, RunnableImage] = {}  # digest -> unpacked
        self._digests = stored.find(record, dict[str, str]) or {}

    def reference(self, image: str) -> Reference:
        """Read a reference; raises `PullFailure` (InvalidImageName)."""
        try:
            return parse(image)
        except ImageError as error:
            said = f'Failed to apply default image tag "{image}": couldn\'t parse image name: {error.cause}'
            raise PullFailure("InvalidImageName", said) from error

    async def present(self, ref: Reference) -> RunnableImage | None:
        """The image, if this node has it."""
        digest = ref.digest or self._digests.get(str(ref))
        if digest is None or digest not in self._digests.values():
            return None
        if digest in self._ready and self._ready[digest].rootfs.is_dir():
            return self._ready[digest]
        found = await asyncio.to_thread(self._store.find, ref.at(digest))
        if found is None:
            return None
        self._ready[digest] = await asyncio.to_thread(unpack, self._store, found)
        return self._ready[digest]

    async def pull(self, ref: Reference, credentials: Credentials) -> Pulled:
        """Fetch it from its registry, one at a time for each name; raises `PullFailure`."""
        async with self._locks.setdefault(str(ref), asyncio.Lock()):
            began = time.monotonic()
            try:
                image = await pull(ref, store=self._store, mirrors=self._mirrors, credentials=credentials)
            except LabError as error:
                raise PullFailure("ErrImagePull", pull_message(ref, error)) from error
            arrival = await self._arrive(image, began)
            self._digests[str(ref)] = image.digest
            self._ready[image.digest] = image
            stored.save(self._record, self._digests, synced=False)
            return Pulled(image, arrival)

    async def _arrive(self, image: RunnableImage, began: float) -> Arrival | None:
        """Wait for the declared size beyond the real one; does nothing if this node has the image already."""
        arrival = self._way.link.arrival(image)
        if arrival is None or image.digest in self._digests.values():
            return None
        left = arrival.seconds / self._way.clock - (time.monotonic() - began)
        await asyncio.sleep(max(0.0, left))
        return arrival

    def sizes(self) -> dict[str, int]:
        """Name by digest and bytes of what was used since the agent started, for the node's status."""
        return {str(image.ref.at(digest)): size_of(image) for digest, image in self._ready.items()}


def policy(container: Json) -> str:
    """imagePullPolicy; the API server has filled it in."""
    return str(container.get("imagePullPolicy") or "IfNotPresent")
