"""Gives disk space back: deletes blobs and unpacked roots that no name leads to.

Refuses while a pull or a build is under way: its blobs have no name yet. Roots are in use as long as a
container runs from them, so `roots` is for a moment when no lab runs; the caller knows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from labkit.images.failure import Busy
from labkit.images.folders import delete
from labkit.images.manifest import Manifest
from labkit.images.store import Store


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
    """Forget what only nodes pulled (names by digest); returns how many."""
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
                "Nothing was deleted from the disk: images are being pulled or built.",
                cause="A pull or a build of this user, in any of the labs, is under way.",
                fix="Run `labkit image prune` when it is through.",
            )
        yield


def _reachable(store: Store, digest: str) -> Iterator[str]:
    yield digest
    if store.blobs.has(digest):
        yield from (blob.digest for blob in Manifest.read(store.blobs.read(digest)).blobs)
