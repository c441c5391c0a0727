"""Frees disk space: deletes blobs and unpacked roots without a name.

Refuses while a pull or a build is running: its blobs have no name yet. Containers run from
roots, so the caller must only use `roots` when no lab runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from localcluster.images.failure import Busy
from localcluster.images.folders import delete
from localcluster.images.manifest import Manifest
from localcluster.images.store import Store


@dataclass(frozen=True)
class Freed:
    """How many things were deleted, and how many bytes of blobs."""

    count: int
    bytes: int


def blobs(store: Store) -> Freed:
    """Delete the blobs that no name needs; raises `Busy` while another process adds some."""
    with _alone(store):
        needed = {digest for image in store.names().values() for digest in _reachable(store, image.digest)}
        gone = [digest for digest in store.blobs if digest not in needed]
        size = sum(store.blobs.size(digest) for digest in gone)
        for digest in gone:
            store.blobs.remove(digest)
        for half in (store.layout / "tmp").iterdir():  # of a process that was killed
            delete(half) if half.is_dir() else half.unlink()
    return Freed(len(gone), size)


def nodes(store: Store) -> int:
    """Remove what only nodes pulled (names by digest); returns how many."""
    pulled = [name for name in store.names() if "@" in name]
    store.forget(*pulled)
    return len(pulled)


def roots(store: Store) -> int:
    """Delete all unpacked roots, which are unpacked again when they are needed; returns how many."""
    with _alone(store):
        found = [path for path in (store.cache_dir / "rootfs").glob("*") if path.is_dir()]
        for path in found:
            delete(path)
    return len(found)


@contextlib.contextmanager
def _alone(store: Store) -> Iterator[None]:
    with store.alone() as alone:
        if not alone:
            raise Busy(
                "Nothing was deleted: images are being pulled or built.",
                cause="A pull or build of this user is running in one of the labs.",
                fix="Run `localcluster image prune` when it has finished.",
            )
        yield


def _reachable(store: Store, digest: str) -> Iterator[str]:
    yield digest
    if store.blobs.has(digest):
        yield from (blob.digest for blob in Manifest.read(store.blobs.read(digest)).blobs)
