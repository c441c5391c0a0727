"""The build context: which of its files a COPY takes, and what `.dockerignore` hides from it.

Refuses sources outside of the context. Modes become 0755 (executable) or 0644, so that the digest of a
layer does not depend on somebody's umask.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from labkit.errors import ImageError
from labkit.images.dockerfile import Source
from labkit.images.layers import Entry


def pattern(text: str) -> re.Pattern[str]:
    """A pattern of COPY or `.dockerignore`: `*`, `?` and `[a-z]` stay in one folder, `**` does not."""
    out, at = "", 0
    while at < len(text):
        rest = text[at:]
        if rest.startswith("**/"):
            out, at = out + "(?:.*/)?", at + 3
        elif rest.startswith("**"):
            out, at = out + ".*", at + 2
        elif rest[0] == "[" and "]" in rest:
            end = rest.index("]")
            out, at = f"{out}[{rest[1:end].replace(chr(92), chr(92) * 2)}]", at + end + 1
        elif rest[0] == "\\" and len(rest) > 1:
            out, at = out + re.escape(rest[1]), at + 2
        else:
            out, at = out + {"*": "[^/]*", "?": "[^/]"}.get(rest[0], re.escape(rest[0])), at + 1
    return re.compile(out)


@dataclass(frozen=True)
class Rule:
    """One line of `.dockerignore`; `!` brings files back."""

    expression: re.Pattern[str]
    hides: bool


class Context:
    """The folder that a Dockerfile may copy from."""

    def __init__(self, folder: Path, dockerfile: Path) -> None:
        if not folder.is_dir():
            raise ImageError(
                f"The build context is not a folder: {folder}.",
                fix="Name the folder that holds the Dockerfile.",
            )
        self.folder = folder.resolve()
        own = dockerfile.with_name(f"{dockerfile.name}.dockerignore")
        self._rules = _rules(own if own.is_file() else self.folder / ".dockerignore")
        self._brings_back = not all(rule.hides for rule in self._rules)

    def hidden(self, path: PurePosixPath) -> bool:
        """Whether `.dockerignore` hides it: the last rule that matches it or a folder above decides."""
        hidden = False
        names = [str(path), *(str(parent) for parent in path.parents if parent.parts)]
        for rule in self._rules:
            if any(rule.expression.fullmatch(name) for name in names):
                hidden = rule.hides
        return hidden

    def find(self, wanted: str, source: Source) -> list[Path]:
        """The files and folders of the context that one source of a COPY names."""
        if ".." in PurePosixPath(wanted).parts:
            raise source.refuse(
                f"COPY {wanted} leaves the build context.",
                cause="Only files below the context folder travel to the builder.",
                fix="Move the file into the context, or build with a folder further up as context.",
            )
        clean = os.path.normpath(f"./{wanted}")
        if clean == ".":
            return [self.folder]
        found = self._matching(PurePosixPath(clean))
        if not found:
            cause = "Its name is mistyped, it lies elsewhere, or `.dockerignore` hides it."
            fix = f"Paths are relative to the context folder {self.folder}."
            raise source.refuse(f"COPY finds no `{wanted}` in the build context.", cause=cause, fix=fix)
        return found

    def entries(self, place: Path, target: str, source: Source) -> Iterable[Entry]:
        """A file as `target`, or all that a folder holds below `target` (no leading slash)."""
        real = place.resolve()
        if not real.is_relative_to(self.folder):
            fix = "Copy the file itself into the context."
            raise source.refuse(f"COPY {place.name} is a link that leaves the build context.", fix=fix)
        if not real.is_dir():
            yield self._entry(real, target, source)
            return
        yield Entry(target, folder=True)
        for folder, folders, files in os.walk(real):
            inside = Path(folder).relative_to(real)
            hidden = {n for n in (*folders, *files) if self.hidden(self._name(Path(folder, n)))}
            for name in (*folders, *files):
                if name not in hidden:
                    inner = os.path.normpath(f"{target}/{inside}/{name}").lstrip("/")
                    yield self._entry(Path(folder, name), inner, source)
            if not self._brings_back:
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
            f"COPY can't take {path}: a device, pipe or socket.", fix="Hide it by .dockerignore."
        )

    def _matching(self, wanted: PurePosixPath) -> list[Path]:
        places = [self.folder]
        for part in wanted.parts:
            expression = pattern(part)
            literal = not set(part) & set("*?[\\")
            places = [
                child
                for place in places
                if place.is_dir()
                for child in ([place / part] if literal else sorted(place.iterdir()))
                if expression.fullmatch(child.name) and os.path.lexists(child)
            ]
        return [place for place in places if self._visible(place)]

    def _name(self, place: Path) -> PurePosixPath:
        return PurePosixPath(place.relative_to(self.folder))

    def _visible(self, place: Path) -> bool:
        if not self.hidden(self._name(place)):
            return True
        below = (path for path in place.rglob("*") if self._brings_back)
        return any(not self.hidden(self._name(path)) for path in below)


def _rules(file: Path) -> Sequence[Rule]:
    if not file.is_file():
        return []
    lines = (line.strip() for line in file.read_text().splitlines())
    wanted = [line for line in lines if line and not line.startswith("#")]
    return [
        Rule(
            pattern(os.path.normpath(line.removeprefix("!").strip().strip("/"))),
            hides=not line.startswith("!"),
        )
        for line in wanted
    ]


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
