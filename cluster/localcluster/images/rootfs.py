"""Unpacks images into root folders: once for each stack of layers, shared by all pods, atomically.

A root is named by its chain of layers, so images that share lower layers share the files by hard links.
Roots are for read-only use (a container writes into an overlay of its own).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import ImageError
from localcluster.images import hostbase
from localcluster.images.blobs import mismatch
from localcluster.images.extract import Extraction
from localcluster.images.failure import on_disk
from localcluster.images.folders import publish
from localcluster.images.hostbase import HostBase
from localcluster.images.manifest import HOST_PYTHON, ImageConfig, chain_id
from localcluster.images.reference import Reference
from localcluster.images.store import Image, Store

_FORM = "writers"  # of unpacked roots: those of another form, made by an older version, are not used


@dataclass(frozen=True)
class RunnableImage:
    """An unpacked image: what the node agent starts containers from."""

    ref: Reference
    digest: str
    config: ImageConfig
    rootfs: Path  # merged root folder, for read-only use
    base: str | None  # the FROM that the host stands in for; None for a complete image
    size_bytes: int  # what was downloaded: compressed layers and config

    def host_mounts(self) -> list[str]:
        """The bubblewrap options that put the host under the image; none for a complete image."""
        return hostbase.host().mounts() if self.base else []


@dataclass(frozen=True)
class Stack:
    """Layers on a base, lowest first: pairs of (blob digest, diff ID)."""

    base: HostBase | None
    layers: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """One name for the whole stack."""
        chain = chain_id([diff_id for _, diff_id in self.layers])
        told = f"{self.base.key if self.base else ''} {chain} {_FORM}"
        return hashlib.sha256(told.encode()).hexdigest()

    def under(self, count: int) -> Stack:
        """The lowest `count` layers of it."""
        return Stack(self.base, self.layers[:count])

    def plus(self, digest: str, diff_id: str) -> Stack:
        """With another layer on top."""
        return Stack(self.base, (*self.layers, (digest, diff_id)))


def unpack(store: Store, image: Image, *, notes: list[str] | None = None) -> RunnableImage:
    """Make the image's root folder, if it is not there yet; `notes` gets what had to be left out."""
    _check_python(image)
    root = materialize(store, stack_of(image), notes=notes)
    return RunnableImage(image.ref, image.digest, image.config, root, image.base, image.size_bytes)


def _check_python(image: Image) -> None:
    """What a RUN made (such as a venv) only works with the Python that made it."""
    made_with = image.manifest.annotations.get(HOST_PYTHON)
    ours = str(hostbase.host().python)
    if image.base and made_with and made_with != ours:
        raise ImageError(
            f"{image.ref} was built on another machine's Python: {made_with}.",
            cause=f"It only contains what its Dockerfile adds to {image.base}; the Python here is {ours}.",
            fix="Build it on this machine, or build a complete image (`--builder docker`).",
        )


def stack_of(image: Image) -> Stack:
    """An image's layers, with the base under them."""
    digests = [layer.digest for layer in image.manifest.layers]
    base = hostbase.host() if image.base else None
    return Stack(base, tuple(zip(digests, image.diff_ids, strict=True)))


def materialize(store: Store, stack: Stack, *, notes: list[str] | None = None) -> Path:
    """The root folder of a stack; the longest existing part is shared, not unpacked again."""
    place = _place(store, stack)
    if place.is_dir():
        return place
    ready = _deepest(store, stack)
    fresh = Path(tempfile.mkdtemp(dir=place.parent, prefix=".root-"))
    try:
        left_out = _lay(store, stack, ready, fresh)
        publish(fresh, place)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise on_disk(error, place.parent) from error
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    if notes is not None:
        notes.extend(left_out)
    return place


def _lay(store: Store, stack: Stack, ready: int, fresh: Path) -> list[str]:
    below = _start(store, stack.under(ready))
    if below:
        _share(below, fresh)
    fresh.chmod(0o755)
    notes: list[str] = []
    for digest, diff_id in stack.layers[ready:]:
        with store.blobs.reading(digest) as stream:
            extraction = Extraction(fresh)
            found = extraction.apply(stream)
        if found != diff_id:
            raise mismatch(diff_id, found)
        notes += extraction.notes
    return notes


def _place(store: Store, stack: Stack) -> Path:
    folder = store.cache_dir / "rootfs"
    folder.mkdir(exist_ok=True)
    return folder / stack.key


def _deepest(store: Store, stack: Stack) -> int:
    counts = range(len(stack.layers) - 1, 0, -1)
    return next((count for count in counts if _place(store, stack.under(count)).is_dir()), 0)


def _start(store: Store, stack: Stack) -> Path | None:
    if stack.layers:
        return _place(store, stack)
    return stack.base.skeleton(store.cache_dir) if stack.base else None


def _share(below: Path, fresh: Path) -> None:
    def link(source: str, target: str) -> None:
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:  # no hard links on this disk, or too many of this file
            shutil.copy2(source, target, follow_symlinks=False)

    shutil.copytree(below, fresh, symlinks=True, copy_function=link, dirs_exist_ok=True)
