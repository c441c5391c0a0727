"""The cache: folders that are complete or absent, each with the SHA-256 checksums of its files.

A folder is filled elsewhere, synced and renamed. Refuses a folder whose files have changed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster import stored
from localcluster.toolchain import disk, lock
from localcluster.toolchain.progress import Progress

MANIFEST = "manifest.json"
_STAGING = ".staging-"


@dataclass(frozen=True)
class Stamp:
    """Properties of a file when it was put into the cache."""

    sha256: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Read all of a file."""
        stat = path.stat()
        return cls(sha256(path), stat.st_size, stat.st_mtime_ns)

    def trouble(self, path: Path, *, full: bool) -> str:
        """What is wrong with a file; empty if it is unchanged.

        A file of the same size and time counts as unchanged, unless `full` requires its checksum.
        """
        if path.is_symlink() or not path.is_file():
            return "is missing"
        stat = path.stat()
        if stat.st_size != self.size:
            return f"has {stat.st_size:,} bytes instead of {self.size:,}"
        if (full or stat.st_mtime_ns != self.mtime_ns) and sha256(path) != self.sha256:
            return "does not have its original contents"
        return ""


@dataclass(frozen=True)
class _Manifest:
    about: Mapping[str, str]
    files: Mapping[str, Stamp]


@dataclass(frozen=True)
class Entry:
    """One complete folder of the cache."""

    folder: Path
    about: Mapping[str, str]
    files: Mapping[str, Stamp]

    @property
    def key(self) -> str:
        """Its name in the cache."""
        return self.folder.name

    def trouble(self, *, full: bool = False) -> str:
        """What is wrong with its files, in words; empty if nothing is."""
        strangers = {p.name for p in self.folder.iterdir()} - set(self.files) - {MANIFEST}
        if strangers:
            return f"{self.folder / min(strangers)} does not belong there"
        for name, stamp in self.files.items():
            wrong = stamp.trouble(self.folder / name, full=full)
            if wrong:
                return f"{self.folder / name} {wrong}"
        return ""


@dataclass(frozen=True)
class Cache:
    """One part of the cache (`bin`, `wheels`): a folder of entries, with a lock for writers."""

    root: Path

    def find(self, key: str) -> Entry | None:
        """The entry as it was put here, its files unchecked; None if there is no complete one."""
        folder = self.root / key
        try:
            known = stored.load(folder / MANIFEST, _Manifest)
        except (OSError, ValueError):
            return None
        return Entry(folder, known.about, known.files) if known.files else None

    def entries(self) -> list[Entry]:
        """All complete entries."""
        keys = sorted(p.name for p in self.root.iterdir()) if self.root.is_dir() else []
        return [entry for key in keys if not key.startswith(".") and (entry := self.find(key))]

    @contextmanager
    def writing(self, progress: Progress) -> Iterator[None]:
        """Be the only writer, and remove what a killed writer left behind."""
        with disk.guarded(self.root, "Writing to the cache"), lock.hold(self.root / ".lock", progress):
            for left in self.root.glob(f"{_STAGING}*"):
                shutil.rmtree(left, ignore_errors=True)
            yield

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder to work in on the cache's own disk; gone afterwards. Only while `writing`."""
        folder = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self.root))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def add(self, key: str, staged: Path, about: Mapping[str, str]) -> Entry:
        """Make the folder `staged` the entry `key`, in one step. Only while `writing`."""
        files = {path.name: Stamp.of(path) for path in sorted(staged.iterdir()) if path.name != MANIFEST}
        manifest = json.dumps(stored.plain(_Manifest(about, files)), indent=1)
        (staged / MANIFEST).write_text(manifest)
        staged.chmod(0o755)
        for path in [*staged.iterdir(), staged]:
            disk.sync(path)
        with self.staging() as aside:
            place = self.root / key
            if place.exists():  # a damaged one, or we would not be here
                place.rename(aside / key)
            staged.rename(place)
        disk.sync(self.root)
        return Entry(place, dict(about), files)

    def remove(self, entry: Entry) -> None:
        """Remove an entry in one step; what runs from it continues. Only while `writing`."""
        with self.staging() as aside:
            entry.folder.rename(aside / entry.key)


def sha256(path: Path) -> str:
    """The SHA-256 sum of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
