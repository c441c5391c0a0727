"""The build context: which of its files a COPY takes, and what `.dockerignore` excludes.

Refuses sources outside of the context. Modes become 0755 (executable) or 0644, so that the digest of a layer
does not depend on a umask.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from localcluster.errors import ImageError
from localcluster.images.ignorefile import IgnoreFile, expression
from localcluster.images.layers import Entry
from localcluster.images.source import Source


def _name_pattern(text: str) -> re.Pattern[str]:
    """One part of a source of COPY: `*`, `?` and `[a-z]`; `**` is two stars, as in BuildKit."""
    return re.compile(expression(re.sub(r"\*+", "*", text)), re.DOTALL)


class Context:
    """The folder that a Dockerfile can copy from."""

    def __init__(self, folder: Path, dockerfile: Path) -> None:
        if not folder.is_dir():
            raise ImageError(
                f"The build context is not a folder: {folder}.",
                fix="Give the folder that contains the Dockerfile.",
            )
        self.folder = folder.resolve()
        own = dockerfile.with_name(f"{dockerfile.name}.dockerignore")
        self._ignore = IgnoreFile.read(own if own.is_file() else self.folder / ".dockerignore")

    def find(self, wanted: str, source: Source) -> list[Path]:
        """The files and folders of the context that one source of a COPY names."""
        clean = os.path.normpath(f"./{wanted}")
        if PurePosixPath(clean).parts[:1] == ("..",):
            raise source.refuse(
                f"COPY {wanted} leaves the build context.",
                cause="Only files in the context folder are sent to the builder.",
                fix="Move the file into the context, or use a parent folder as the context.",
            )
        if clean == ".":
            return [self.folder]
        found = self._matching(PurePosixPath(clean), source)
        if not found:
            cause = "The name is wrong, the file is elsewhere, or `.dockerignore` excludes it."
            fix = f"Paths are relative to the context folder {self.folder}."
            raise source.refuse(f"COPY found no `{wanted}` in the build context.", cause=cause, fix=fix)
        return found

    def entries(self, place: Path, target: str, source: Source) -> Iterable[Entry]:
        """A file as `target`, or all that a folder holds below `target` (no leading slash)."""
        real = place.resolve()
        if not real.is_relative_to(self.folder):
            fix = "Copy the file itself into the context."
            raise source.refuse(f"COPY {place.name} is a link that leaves the build context.", fix=fix)
        if real != self.folder and not self._visible(real):
            fix = "Include the file again in .dockerignore (!name), or copy another file."
            raise source.refuse(
                f"COPY {place.name} is a link to a file that .dockerignore excludes.", fix=fix
            )
        if not real.is_dir():
            yield self._entry(real, target, source)
            return
        yield Entry(target, folder=True)
        for folder, folders, files in os.walk(real):
            inside = Path(folder).relative_to(real)
            hidden = {n for n in (*folders, *files) if self._ignore.hides(self._name(Path(folder, n)))}
            for name in (*folders, *files):
                if name not in hidden:
                    inner = os.path.normpath(f"{target}/{inside}/{name}").lstrip("/")
                    yield self._entry(Path(folder, name), inner, source)
            if not self._ignore.brings_back:
                folders[:] = [name for name in folders if name not in hidden]

    def _entry(self, path: Path, target: str, source: Source) -> Entry:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return Entry(target, 0o777, target=str(path.readlink()))
        if stat.S_ISDIR(mode):
            return Entry(target, folder=True)
        if stat.S_ISREG(mode):
            return Entry(target, 0o755 if mode & 0o111 else 0o644, source=path)
        raise source.refuse(
            f"COPY can't copy {path}: it is a device, pipe or socket.", fix="Exclude it in .dockerignore."
        )

    def _matching(self, wanted: PurePosixPath, source: Source) -> list[Path]:
        places = [self.folder]
        for part in wanted.parts:
            try:
                name = _name_pattern(part)
            except (ValueError, re.error) as error:
                fix = "Put a backslash before a special character to use it literally."
                raise source.refuse(f"`{wanted}` is not a valid pattern: {error}.", fix=fix) from error
            literal = not set(part) & set("*?[\\")
            places = [
                child
                for place in places
                if place.is_dir()
                for child in ([place / part] if literal else sorted(place.iterdir()))
                if name.fullmatch(child.name) and os.path.lexists(child)
            ]
        return [place for place in places if self._visible(place)]

    def _name(self, place: Path) -> PurePosixPath:
        return PurePosixPath(place.relative_to(self.folder))

    def _visible(self, place: Path) -> bool:
        if not self._ignore.hides(self._name(place)):
            return True
        below = (path for path in place.rglob("*") if self._ignore.brings_back)
        return any(not self._ignore.hides(self._name(path)) for path in below)


def fingerprint(entries: Iterable[Entry]) -> str:
    """One digest for everything that would go into a layer: names, modes, links and contents."""
    told = hashlib.sha256()
    for entry in sorted(entries, key=lambda e: e.path):
        content = ""
        if entry.source:
            with entry.source.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        told.update(repr((entry.path, entry.mode, entry.folder, entry.target, content)).encode())
    return told.hexdigest()
