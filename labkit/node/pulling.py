"""Images as one node has them: which are present, and how the others are fetched.

A node has the images that it pulled itself, by the name they were asked for: an image that was only built on
this machine is on no node, and a tag that moved in the registry stays what it was here until it is pulled
again. Pulling itself is `labkit.images`' part.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labkit.errors import ImageError, LabError
from labkit.images.credentials import Credentials
from labkit.images.failure import pull_message
from labkit.images.pull import pull
from labkit.images.reference import Reference, parse
from labkit.images.registry import Mirror
from labkit.images.rootfs import RunnableImage, unpack
from labkit.images.store import Store
from labkit.node.config import Registry
from labkit.node.records import save_json

Json = dict[str, Any]


class PullFailure(Exception):
    """No image; `reason` is what the container waits with (ErrImagePull, InvalidImageName, ...)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class NodeImages:
    """The images of one node."""

    def __init__(self, *, record: Path, store: Store, registries: Sequence[Registry]) -> None:
        self._record = record
        self._store = store
        self._mirrors = [Mirror(r.host, r.url, r.ca) for r in registries]
        self._locks: dict[str, asyncio.Lock] = {}
        self._ready: dict[str, RunnableImage] = {}  # digest -> unpacked
        try:
            self._digests: dict[str, str] = json.loads(record.read_text())
        except (FileNotFoundError, ValueError):
            self._digests = {}

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

    async def pull(self, ref: Reference, credentials: Credentials) -> RunnableImage:
        """Fetch it from its registry, one at a time for each name; raises `PullFailure`."""
        async with self._locks.setdefault(str(ref), asyncio.Lock()):
            try:
                image = await pull(ref, store=self._store, mirrors=self._mirrors, credentials=credentials)
            except LabError as error:
                raise PullFailure("ErrImagePull", pull_message(ref, error)) from error
            self._digests[str(ref)] = image.digest
            self._ready[image.digest] = image
            save_json(self._record, self._digests)
            return image

    def sizes(self) -> dict[str, int]:
        """Name by digest and bytes of what was used since the agent started, for the node's status."""
        return {str(image.ref.at(digest)): image.size_bytes for digest, image in self._ready.items()}


def policy(container: Json) -> str:
    """imagePullPolicy; the API server has filled it in."""
    return str(container.get("imagePullPolicy") or "IfNotPresent")
