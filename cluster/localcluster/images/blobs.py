"""Content-addressed files: a name is the SHA-256 of what is in it.

Bytes are hashed while they are written and again when they are read for use; a file that does not have
its digest is deleted and reported, never used. Two processes may write the same blob at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from localcluster.images.failure import Corrupt, on_disk

CHUNK = 1 << 20


def digest_of(data: bytes) -> str:
    """`sha256:` and the hexadecimal digest of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Writing:
    """A blob that is being written; `commit` names it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Append bytes."""
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    @property
    def digest(self) -> str:
        """The digest of what has been written so far."""
        return f"sha256:{self._hash.hexdigest()}"


class Blobs:
    """The `blobs/sha256` folder of an OCI image layout."""

    def __init__(self, layout: Path) -> None:
        self._folder = layout / "blobs" / "sha256"
        self._tmp = layout / "tmp"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._tmp.mkdir(exist_ok=True)

    def path(self, digest: str) -> Path:
        """The path of the blob, whether it exists or not."""
        return self._folder / digest.removeprefix("sha256:")

    def has(self, digest: str) -> bool:
        """Whether a blob of this name is there; its bytes are checked when they are read."""
        return self.path(digest).is_file()

    def size(self, digest: str) -> int:
        """Bytes on disk."""
        return self.path(digest).stat().st_size

    @contextlib.contextmanager
    def writing(self, expected: str | None = None) -> Iterator[Writing]:
        """Write a blob; it appears under its digest when the block ends, or not at all.

        Raises `Corrupt` where the bytes don't have the digest that was `expected`.
        """
        handle, name = tempfile.mkstemp(dir=self._tmp)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                blob = Writing(file)
                yield blob
            if expected and blob.digest != expected:
                raise mismatch(expected, blob.digest)
            temporary.chmod(0o644)
            temporary.replace(self.path(blob.digest))
        except OSError as error:
            raise on_disk(error, self._folder) from error
        finally:
            temporary.unlink(missing_ok=True)

    def put(self, data: bytes, expected: str | None = None) -> str:
        """Keep a small blob; returns its digest."""
        with self.writing(expected) as blob:
            blob.write(data)
        return blob.digest

    def read(self, digest: str) -> bytes:
        """The bytes of a small blob, checked."""
        data = self.path(digest).read_bytes()
        if digest_of(data) != digest:
            self._discard(digest, digest_of(data))
        return data

    @contextlib.contextmanager
    def reading(self, digest: str) -> Iterator[BinaryIO]:
        """A large blob as a stream; when the block ends well, all of it has been checked."""
        with self.path(digest).open("rb") as file:
            checked = Hashed(file)
            yield checked  # type: ignore[misc]
            checked.drain()
        if checked.digest != digest:
            self._discard(digest, checked.digest)

    def remove(self, digest: str) -> None:
        """Delete the blob, if it is there."""
        self.path(digest).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[str]:
        return (f"sha256:{path.name}" for path in sorted(self._folder.iterdir()))

    def _discard(self, digest: str, found: str) -> None:
        self.remove(digest)
        raise mismatch(digest, found)


class Hashed:
    """A reader that hashes what passes through it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as a file gives them."""
        data = self._file.read(size)
        self._hash.update(data)
        return data

    def drain(self) -> None:
        """Read to the end, for the digest alone."""
        while self.read(CHUNK):
            pass

    @property
    def digest(self) -> str:
        """Of everything that was read so far."""
        return f"sha256:{self._hash.hexdigest()}"


def mismatch(expected: str, found: str) -> Corrupt:
    """The error for bytes that are not what their name says."""
    return Corrupt(
        f"Digest mismatch: expected {expected}, got {found}.",
        cause="The data was modified or truncated in transit or on disk.",
        fix="It was deleted: pull or build the image again.",
    )
