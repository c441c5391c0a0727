"""Unpacks one layer onto a root folder, and never leaves it.

Each entry's folder is resolved as the container would resolve it, inside the root: `..` is refused, an
absolute link starts again at the root. Whiteouts delete what lower layers brought. Set-uid bits and devices
are dropped; of owners only `writers` keeps something. Files are replaced, never written in place, since lower
layers share them by hard links.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

from localcluster.errors import ImageError
from localcluster.images.blobs import CHUNK, Hashed
from localcluster.images.failure import Unsafe
from localcluster.images.layers import OPAQUE, WHITEOUT
from localcluster.images.writers import Writers

_LINKS = 40  # as many symbolic links as Linux follows in one path


class Extraction:
    """One layer that is unpacked onto `root`; `notes` lists what was left out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notes: list[str] = []
        self._written: set[Path] = set()
        self._writers = Writers()
        self._folders: dict[PurePosixPath, Path] = {}

    def apply(self, stream: BinaryIO) -> str:
        """Unpack a layer's archive, plain or gzipped; returns its diff ID (digest when plain)."""
        plain = _plain(stream)
        try:
            with tarfile.open(fileobj=cast("IO[bytes]", plain), mode="r|") as tar:
                for member in tar:
                    self._member(tar, member)
            plain.drain()
            self._writers.save(self.root)
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, UnicodeError) as error:
            raise ImageError(
                f"The layer is not a readable archive: {error}.",
                cause="It is truncated, or not compressed with gzip.",
                fix="Pull it again; or push the image with gzip layers.",
            ) from error
        return plain.digest

    def _member(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = self._inside(member.name)
        if path == PurePosixPath():
            return
        folder = self._folder(path.parent)
        if path.name == OPAQUE:
            self._clear(folder)
        elif path.name.startswith(WHITEOUT):
            self._remove(folder / path.name.removeprefix(WHITEOUT))
        else:
            self._place(tar, member, folder / path.name)
            self._writers.note(path, member)

    def _place(self, tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
        if member.isdir():
            self._make_folder(place, member.mode)
        elif member.issym():
            self._remove(place)
            place.symlink_to(member.linkname)
        elif member.islnk():
            self._hard_link(member, place)
        elif member.isreg():
            self._write(tar, member, place)
        else:
            self.notes.append(f"/{place.relative_to(self.root)}: left out, a device or a pipe")
            return
        self._written.add(place)

    def _make_folder(self, place: Path, mode: int) -> None:
        if place.is_symlink() or not place.is_dir():
            self._remove(place)
            place.mkdir()
        place.chmod(mode & 0o1777 | 0o700)

    def _hard_link(self, member: tarfile.TarInfo, place: Path) -> None:
        target = self._inside(member.linkname)
        source = self._folder(target.parent) / target.name
        if not os.path.lexists(source):
            raise Unsafe(
                f"The layer links /{place.relative_to(self.root)} to a file that it does not have: {target}."
            )
        if source != place:
            self._remove(place)
            os.link(source, place, follow_symlinks=False)

    def _write(self, tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
        self._remove(place)
        content = tar.extractfile(member)
        assert content is not None
        with content, place.open("xb") as file:
            shutil.copyfileobj(content, file, CHUNK)
            os.fchmod(file.fileno(), member.mode & 0o777 | 0o400)
            os.utime(file.fileno(), (member.mtime, member.mtime))

    def _clear(self, folder: Path) -> None:
        for child in folder.iterdir():
            if child not in self._written:
                self._remove(child)

    def _remove(self, place: Path) -> None:
        if place.is_symlink() or place.is_file():
            if place.is_symlink():
                self._folders.clear()
            place.unlink()
        elif place.is_dir():
            self._folders.clear()
            shutil.rmtree(place)

    def _inside(self, name: str) -> PurePosixPath:
        path = PurePosixPath("/", name)
        if ".." in path.parts or "\0" in name:
            raise Unsafe(
                f"The layer has a path that leaves the image: {name}.",
                cause="It would write outside its folder, by mistake or on purpose.",
                fix="Don't use this image.",
            )
        return path.relative_to("/")

    def _folder(self, path: PurePosixPath) -> Path:
        """The real folder for a path of the image, created if it is missing."""
        known = self._folders.get(path)
        if known is None:
            known = self._folders[path] = self._resolve(path)
        return known

    def _resolve(self, path: PurePosixPath) -> Path:
        here, todo, links = self.root, list(reversed(path.parts)), 0
        while todo:
            part = todo.pop()
            if part == "..":
                here = here if here == self.root else here.parent
                continue
            step = here / part
            if step.is_symlink():
                links += 1
                if links > _LINKS:
                    raise Unsafe(f"The layer has too many levels of links at /{path}.")
                target = PurePosixPath(step.readlink())
                here = self.root if target.is_absolute() else here
                todo.extend(reversed([p for p in target.parts if p != "/"]))
                continue
            if not step.is_dir():
                self._remove(step)
                step.mkdir(mode=0o755)
            here = step
        return here


def _plain(stream: BinaryIO) -> Hashed:
    """The uncompressed archive of a layer, hashed as it is read."""
    head = stream.read(2)
    whole = cast("BinaryIO", _Joined(head, stream))
    return Hashed(cast("BinaryIO", gzip.GzipFile(fileobj=whole)) if head == b"\x1f\x8b" else whole)


class _Joined:
    """Bytes that were read ahead, followed by the rest of the stream."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        head, self._head = self._head[: size if size >= 0 else None], b"" if size < 0 else self._head[size:]
        rest = size - len(head) if size >= 0 else -1
        return head + self._stream.read(rest) if rest else head
