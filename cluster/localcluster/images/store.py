"""The images of this user: an OCI image layout (blobs, index of names) and the roots unpacked from it.

Shared by all labs and safe for several processes: blobs appear atomically, the index is replaced under a
lock. `<cache>/images/` is the layout, `<cache>/rootfs/` holds the unpacked roots.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from localcluster.errors import ImageError
from localcluster.images.blobs import Blobs
from localcluster.images.manifest import BASE, MANIFEST, Descriptor, ImageConfig, Manifest
from localcluster.images.reference import Reference
from localcluster.stored import write_atomically
from localcluster.toolchain.versions import cache_root

_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class Image:
    """An image in the store, not yet unpacked."""

    ref: Reference
    digest: str
    manifest: Manifest
    document: dict[str, Any]  # the config document, with history and diff IDs

    @property
    def config(self) -> ImageConfig:
        """What a container of it runs."""
        return ImageConfig.of(self.document)

    @property
    def diff_ids(self) -> list[str]:
        """The digests of its plain layers, lowest first."""
        return list(self.document["rootfs"]["diff_ids"])

    @property
    def base(self) -> str | None:
        """The FROM that the host stands in for; None for a complete image."""
        return self.manifest.annotations.get(BASE) or self.config.labels.get(BASE)

    @property
    def size_bytes(self) -> int:
        """The size of what is transferred: layers and config, compressed."""
        return sum(blob.size for blob in self.manifest.blobs)


class Store:
    """Images by name and by digest."""

    def __init__(self, cache_dir: Path | None = None) -> None:
        self.cache_dir = cache_dir or cache_root()
        self.layout = self.cache_dir / "images"
        self.blobs = Blobs(self.layout)
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Lock]]
        self._locks = WeakKeyDictionary()
        marker = self.layout / "oci-layout"
        if not marker.exists():
            write_atomically(marker, '{"imageLayoutVersion":"1.0.0"}', mode=0o644)

    def names(self) -> dict[str, Descriptor]:
        """Every name and the manifest that it points to."""
        entries = self._index().get("manifests", [])
        return {entry["annotations"][_NAME]: Descriptor.of(entry) for entry in entries}

    def tag(self, ref: Reference, digest: str) -> None:
        """Point a name to an image in the store; an older meaning is lost."""
        size = self.blobs.size(digest)
        self._change(lambda names: names.update({str(ref): Descriptor(MANIFEST, digest, size)}))

    def find(self, ref: Reference) -> Image | None:
        """The image of this name or digest, if it is complete."""
        known = self.names()
        exact = known.get(str(ref))
        digest = ref.digest or (exact.digest if exact else None)
        if digest is None or not self.blobs.has(digest):
            return None
        image = self.load(ref, digest) if self._has_config(digest) else None
        return image if image and self._complete(image) else None

    def get(self, ref: Reference) -> Image:
        """Like `find`; raises `ImageError` if the image is not here."""
        image = self.find(ref)
        if image is None:
            named = sorted(name for name in self.names() if "@" not in name)
            raise ImageError(
                f"There is no image {ref} on this machine.",
                cause=f"Images here: {', '.join(named) or 'none yet'}.",
                fix="Build it (`localcluster image build`), pull it (`localcluster image "
                "pull`), or correct the "
                "name.",
            )
        return image

    def load(self, ref: Reference, digest: str) -> Image:
        """Read an image whose manifest and config lie in the blob store."""
        manifest = Manifest.read(self.blobs.read(digest))
        return Image(ref, digest, manifest, json.loads(self.blobs.read(manifest.config.digest)))

    def forget(self, *names: str) -> None:
        """Remove names; the blobs stay until `sweep` deletes what no name needs."""
        self._change(lambda known: [known.pop(name, None) for name in names])

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While blobs without a name are being added, nothing is swept."""
        with (self.layout / "use.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether no process adds blobs now; while this is held, none can start."""
        with (self.layout / "use.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def lock(self, digest: str) -> asyncio.Lock:
        """One task at a time for a blob, within the running event loop."""
        locks = self._locks.setdefault(asyncio.get_running_loop(), {})
        return locks.setdefault(digest, asyncio.Lock())

    def _has_config(self, digest: str) -> bool:
        return self.blobs.has(Manifest.read(self.blobs.read(digest)).config.digest)

    def _complete(self, image: Image) -> bool:
        return all(self.blobs.has(blob.digest) for blob in image.manifest.blobs)

    def _index(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.layout / "index.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    def _change(self, change: Callable[[dict[str, Descriptor]], object]) -> None:
        with self._exclusive():
            names = self.names()
            change(names)
            manifests = [
                {**descriptor.json(), "annotations": {_NAME: name}}
                for name, descriptor in sorted(names.items())
            ]
            text = json.dumps({"schemaVersion": 2, "manifests": manifests}, indent=1)
            write_atomically(self.layout / "index.json", text, mode=0o644)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        with (self.layout / "index.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
