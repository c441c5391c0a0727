"""A bundle carries the cache to machines without a network: one file for a whole class.

Its first member lists every file with its size and SHA-256. Refuses a bundle for another system or for other
versions, and members that are not on that list, not plain files, or differ from the list; then nothing is
installed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zstandard

from localcluster import stored
from localcluster.errors import BadInput, ToolchainError
from localcluster.toolchain import disk
from localcluster.toolchain.cache import MANIFEST, Cache, Entry
from localcluster.toolchain.progress import Progress, Task
from localcluster.toolchain.versions import target

CONTENTS = "bundle.json"
_PART = re.compile(r"(?!\.)[A-Za-z0-9._+!-]+")
_CONTENTS_LIMIT = 4_000_000


@dataclass(frozen=True)
class Member:
    """One file of a bundle: `bin/<key>/<name>` or `wheels/<key>/<name>`."""

    store: str
    key: str
    name: str
    size: int
    sha256: str

    @property
    def path(self) -> str:
        """Its place in the archive, and below the cache."""
        return f"{self.store}/{self.key}/{self.name}"


@dataclass(frozen=True)
class _Listing:
    target: str
    about: Mapping[str, Mapping[str, str]]
    files: tuple[Member, ...]


@dataclass(frozen=True)
class Contents:
    """The list of a bundle; `about` has name, version and origin of each entry."""

    members: Mapping[str, Member]
    about: Mapping[str, Mapping[str, str]]

    @property
    def size(self) -> int:
        """Bytes, unpacked."""
        return sum(member.size for member in self.members.values())

    def keys(self, store: str) -> list[str]:
        """The entries that it holds of one part of the cache."""
        return sorted({member.key for member in self.members.values() if member.store == store})


def pack(out: Path, entries: Sequence[Entry], progress: Progress) -> str:
    """Write the entries to `out` (.tar.gz or .tar.zst), atomically; returns the SHA-256 of the file."""
    broken = [trouble for entry in entries if (trouble := entry.trouble(full=True))]
    if broken:
        raise ToolchainError(f"Not bundled: {broken[0]}.", fix="Run `localcluster toolchain fetch` first.")
    size = sum(stamp.size for entry in entries for stamp in entry.files.values())
    part = out.with_name(f".{out.name}.part")
    disk.require(out.absolute().parent, size / disk.MB / 2, f"Writing {out}")
    try:
        with disk.guarded(out.parent, f"Writing {out}"), progress.task(f"Packing {out.name}", size) as task:
            with _writing(out.name, part) as tar:
                _pack(tar, entries, task)
            disk.sync(part)
            digest = _digest(part)
            part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return digest


def install(
    file: Path, root: Path, needed: Sequence[str], progress: Progress, *, sha256: str = ""
) -> list[str]:
    """Install a bundle into the cache in `root`; returns the new keys.

    `needed` are the keys of the programs of this checkout: a bundle without any of them is refused. `sha256`
    is what `pack` returned, from a source that you trust: the list in the bundle protects against damage, not
    against attacks.
    """
    if sha256 and _digest(file) != sha256.lower():
        raise BadInput(f"{file} does not have the SHA-256 {sha256}.", fix="Fetch it again.")
    with _reading(file) as tar:
        contents = _contents(tar, file)
        _check_fit(contents, needed, file)
        disk.require(root, contents.size / disk.MB, f"Installing {file}")
        bins, wheels = Cache(root / "bin"), Cache(root / "wheels")
        with bins.writing(progress), wheels.writing(progress), bins.staging() as staging:
            _unpack(tar, contents, staging, progress)
            return [key for store in (bins, wheels) for key in _add_all(store, contents, staging)]


def _pack(tar: tarfile.TarFile, entries: Sequence[Entry], task: Task) -> None:
    members = tuple(
        Member(e.folder.parent.name, e.key, name, stamp.size, stamp.sha256)
        for e in entries
        for name, stamp in e.files.items()
    )
    listing = _Listing(target(), {e.key: e.about for e in entries}, members)
    contents = json.dumps(stored.plain(listing), indent=1).encode()
    header = tarfile.TarInfo(CONTENTS)
    header.size = len(contents)
    tar.addfile(header, io.BytesIO(contents))
    for entry in entries:
        for name, stamp in entry.files.items():
            info = tarfile.TarInfo(f"{entry.folder.parent.name}/{entry.key}/{name}")
            info.size, info.mode = stamp.size, 0o755
            with (entry.folder / name).open("rb") as source:
                tar.addfile(info, source)
            task.advance(stamp.size, name)


def _contents(tar: tarfile.TarFile, file: Path) -> Contents:
    first = tar.next()
    source = tar.extractfile(first) if first and first.name == CONTENTS and first.isfile() else None
    if source is None or first is None or first.size > _CONTENTS_LIMIT:
        raise _refused(file, f"its first file is not {CONTENTS}")
    try:
        listing = stored.made(_Listing, json.loads(source.read()))
    except ValueError as error:
        raise _refused(file, f"its {CONTENTS} can't be read ({error})") from error
    if wrong := next((m.path for m in listing.files if not _proper(m)), ""):
        raise _refused(file, f"{wrong!r} is not a path in the cache")
    if listing.target != target():
        raise BadInput(
            f"{file} is for {listing.target}; this one is {target()}.", fix="Make one on a machine like this."
        )
    return Contents({m.path: m for m in listing.files}, listing.about)


def _proper(member: Member) -> bool:
    parts_fine = all(_PART.fullmatch(part) for part in (member.key, member.name))
    return member.store in {"bin", "wheels"} and parts_fine and member.name != MANIFEST and member.size >= 0


def _check_fit(contents: Contents, needed: Sequence[str], file: Path) -> None:
    held = contents.keys("bin")
    if not set(held) & set(needed):
        raise BadInput(
            f"{file} contains none of the programs that this checkout needs.",
            cause=f"It was made from another version of the course: {', '.join(held) or 'empty'}.",
            fix="Run `localcluster toolchain bundle` in a checkout of this version.",
        )


def _unpack(tar: tarfile.TarFile, contents: Contents, staging: Path, progress: Progress) -> None:
    missing = dict(contents.members)
    with progress.task("Installing the bundle", float(contents.size)) as task:
        while (info := tar.next()) is not None:
            member = missing.pop(info.name, None)
            source = tar.extractfile(info) if member and info.isreg() else None
            if member is None or source is None or info.size != member.size:
                raise _refused(Path(str(tar.name)), f"{info.name!r} is not in its list")
            path = staging / member.path
            path.parent.mkdir(parents=True, exist_ok=True)
            if _copied(source, path) != member.sha256:
                raise _refused(Path(str(tar.name)), f"{info.name} does not have the SHA-256 in its list")
            path.chmod(0o755)
            task.advance(member.size, member.name)
    if missing:
        raise _refused(Path(str(tar.name)), f"{min(missing)} is missing: the bundle is truncated")


def _copied(source: IO[bytes], path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while chunk := source.read(1 << 20):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _add_all(store: Cache, contents: Contents, staging: Path) -> list[str]:
    added = []
    for key in contents.keys(store.root.name):
        entry = store.find(key)
        if entry is None or entry.trouble():
            about = {**contents.about.get(key, {}), "carried": "in a bundle"}
            store.add(key, staging / store.root.name / key, about)
            added.append(key)
    return added


@contextmanager
def _writing(name: str, part: Path) -> Iterator[tarfile.TarFile]:
    if name.endswith((".tar.gz", ".tgz")):
        with tarfile.open(part, "w:gz", compresslevel=6) as tar:
            yield tar
    elif name.endswith(".tar.zst"):
        compressor = zstandard.ZstdCompressor(level=10, threads=-1)
        raw = part.open("wb")
        with raw, compressor.stream_writer(raw) as file, tarfile.open(fileobj=file, mode="w|") as tar:
            yield tar
    else:
        raise BadInput(
            f"{name} is not a valid name for a bundle.", fix="Use a name that ends in .tar.zst or .tar.gz."
        )


@contextmanager
def _reading(file: Path) -> Iterator[tarfile.TarFile]:
    """Open by content, not by name; read errors are reported as a broken bundle."""
    try:
        with file.open("rb") as raw:
            zst = raw.read(4) == b"\x28\xb5\x2f\xfd"
            raw.seek(0)
            stream = zstandard.ZstdDecompressor().stream_reader(raw) if zst else raw
            with tarfile.open(name=str(file), fileobj=stream, mode="r|" if zst else "r|gz") as tar:
                yield tar
    except (tarfile.TarError, zstandard.ZstdError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _refused(file, f"it can't be read to the end ({error})") from error
    except FileNotFoundError as error:
        raise BadInput(f"There is no file {file}.") from error


def _refused(file: Path, why: str) -> BadInput:
    return BadInput(
        f"{file} was not installed: {why}.",
        cause="It was damaged or modified in transit, or is not a bundle.",
        fix="Fetch it again, or make a new one with `localcluster toolchain bundle`.",
    )


def _digest(file: Path) -> str:
    with file.open("rb") as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest()
