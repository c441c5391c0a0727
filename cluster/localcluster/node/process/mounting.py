"""Opens paths that untrusted code can change, so that no link leads out of their folder.

An image or a volume can contain links to anywhere. `resolved` follows links as the container would, inside
its root; `opened` goes down step by step and follows none, so that a link created in the meantime is refused.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path, PurePosixPath

_LINKS = 40  # as many symbolic links as Linux follows in one path
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Astray(Exception):
    """A link leads out of its folder."""


def resolved(root: Path, path: str) -> str:
    """The absolute path inside `root` that `path` means there; what does not exist is used unchanged."""
    here, todo, links = PurePosixPath("/"), list(reversed(PurePosixPath("/", path).parts[1:])), 0
    while todo:
        part = todo.pop()
        if part == "..":
            here = here.parent
            continue
        step = root / here.relative_to("/") / part
        if not step.is_symlink():
            here /= part
            continue
        links += 1
        if links > _LINKS:
            raise Astray(f"{path}: too many levels of symbolic links")
        target = PurePosixPath(step.readlink())
        here = PurePosixPath("/") if target.is_absolute() else here
        todo.extend(reversed([p for p in target.parts if p != "/"]))
    return str(here)


def opened(folder: Path, inner: str, *, make: bool = False, mode: int = 0o755) -> int:
    """A descriptor (O_PATH) of `inner` below `folder`; `make` folders that are missing, of that mode."""
    here = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    for part in PurePosixPath(inner).parts:
        try:
            there = _step(here, part, make=make, mode=mode)
        finally:
            os.close(here)
        here = there
    return here


def make(folder: Path, inner: str, *, file: bool) -> None:
    """Make a mount point below `folder`, where there is none yet."""
    place = PurePosixPath(inner)
    above = opened(folder, str(place.parent), make=True)
    try:
        if file:
            with suppress(FileExistsError):
                os.close(os.open(place.name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=above))
        os.close(_step(above, place.name, make=not file))
    finally:
        os.close(above)


def _step(folder: int, name: str, *, make: bool, mode: int = 0o755) -> int:
    if name in {"/", ".."}:
        raise Astray(f"{name} leads out of its folder")
    made = False
    if make:
        with suppress(FileExistsError):  # expected; what it is gets checked below
            os.mkdir(name, 0o700, dir_fd=folder)
            made = True
    found = os.open(name, _STEP, dir_fd=folder)
    if stat.S_ISLNK(os.fstat(found).st_mode):
        os.close(found)
        raise Astray(f"{name} is a symbolic link")
    if made:
        Path(f"/proc/self/fd/{found}").chmod(mode)  # whatever the name means by now
    return found


def text(root: Path, path: str, *, most: int = 2**20) -> str:
    """A text file of an image; empty if there is none."""
    try:
        return read(root, path, most=most)
    except (OSError, Astray):
        return ""


def read(root: Path, path: str, *, most: int = 2**20) -> str:
    """A text file below `root`, links followed inside it only; raises `OSError` and `Astray`."""
    handle = opened(root, resolved(root, path).lstrip("/"))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Astray(f"{path} is no file")
        with Path(f"/proc/self/fd/{handle}").open("rb") as file:
            return file.read(most).decode(errors="replace")
    finally:
        os.close(handle)


def head(path: Path, most: int) -> bytes:
    """The first bytes of a file that a container writes; empty if it made something else of it."""
    return _part(path, most, from_end=False)


def tail(path: Path, most: int) -> bytes:
    """The last bytes of such a file."""
    return _part(path, most, from_end=True)


def _part(path: Path, most: int, *, from_end: bool) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            return b""
        file.seek(max(0, found.st_size - most) if from_end else 0)
        return file.read(most)
