"""The contents of an untrusted folder or archive, by name; nothing is read before it is needed.

Zip files, tar files (also gz, bz2, xz) and folders look the same to callers. Never follows a link, never
leaves the folder, and trusts no header: the reader sets a limit in bytes. Nothing raises: what must not be
opened is listed with the reason.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from labkit_grading.submissions.remark import Kind, shown

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
UNKNOWN_ARCHIVES = (".rar", ".7z", ".zipx", ".ace", ".arj", ".lzh", ".sit", ".sitx", ".dmg", ".iso")
IGNORED = frozenset(
    {"__macosx", ".ds_store", ".spotlight-v100", ".trashes", ".fseventsd", "thumbs.db", "desktop.ini"}
    | {".ipynb_checkpoints", ".virtual_documents", ".git", ".venv", "venv", "__pycache__", ".idea", ".vscode"}
    | {".jupyter", ".local", ".mypy_cache", ".pytest_cache", ".ruff_cache", "node_modules"}
)
"""What systems and editors leave behind, in lower case: never handed in on purpose."""
BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, RuntimeError,
    NotImplementedError, OSError, ValueError, OverflowError,
)  # fmt: skip
"""Truncated, a wrong checksum, an unknown method, an invalid name."""
LINK = "a link, which could lead anywhere: not followed"
OUTSIDE = "its path leads out of the submission: not taken"
_ENCRYPTED, _UTF8 = 1, 0x800  # of a zip entry's flags


@dataclass(frozen=True)
class Entry:
    """A file or a folder. `read(n)` returns at most n bytes; if `why` is set, it is not opened."""

    path: PurePosixPath
    size: int
    read: Callable[[int], bytes]
    why: str = ""
    kind: Kind = "refused"
    folder: bool = False

    @property
    def ignored(self) -> str:
        """The part of the path that says that a system or an editor left it behind; empty without one."""
        *folders, last = self.path.parts or ("",)
        inner = next((part for part in folders if part.lower() in IGNORED), "")
        return inner or (last if ignored(last, folder=self.folder) else "")


class TooLarge(ValueError):
    """An archive unpacks to more than the limit."""


def ignored(name: str, *, folder: bool = False) -> bool:
    """Whether a file or folder with this name is ignored: macOS' `._x` and Office's `~$x` are files."""
    return name.lower() in IGNORED or (not folder and name.startswith(("._", "~$")))


def is_archive(name: str) -> bool:
    """Whether a file's name is that of an archive that can be opened here."""
    return name.lower().endswith(ARCHIVES)


def stem(name: str) -> str:
    """An archive's name without its suffix."""
    end = next((end for end in sorted(ARCHIVES, key=len, reverse=True) if name.lower().endswith(end)), "")
    return name[: len(name) - len(end)]


def of_folder(folder: Path) -> Iterator[Entry]:
    """The files below a folder, sorted by name."""
    for here, folders, files in os.walk(folder, followlinks=False):
        links = [name for name in folders if Path(here, name).is_symlink()]
        left = [name for name in folders if ignored(name, folder=True)]
        folders[:] = sorted(name for name in folders if name not in {*links, *left})
        if not files and not folders and Path(here) != folder:
            yield Entry(PurePosixPath(Path(here).relative_to(folder).as_posix()), 0, _nothing, folder=True)
        for name in sorted([*files, *links, *left]):
            yield _of_path(Path(here, name), Path(here, name).relative_to(folder).as_posix())


def _of_path(path: Path, name: str) -> Entry:
    found = inside(name)
    if found is None:
        return _shut(name, OUTSIDE, "flagged")
    if path.is_symlink():
        return Entry(found, 0, _nothing, LINK, "flagged")
    if path.is_dir():  # an ignored folder: its presence alone can be a clue
        return Entry(found, 0, _nothing)
    return Entry(found, path.lstat().st_size, lambda most: _read(path, most), *_special(path))


def _special(path: Path) -> tuple[str, Kind]:
    if stat.S_ISREG(path.lstat().st_mode):
        return "", "refused"
    return "not a file but a pipe, socket or device: not opened", "flagged"


def _read(path: Path, most: int) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(None, "no longer a file")
        return file.read(most)


@contextmanager
def opened(source: Path | IO[bytes], name: str, most: int) -> Iterator[Iterator[Entry]]:
    """An archive's entries; raises one of `BROKEN` if it can't be read or exceeds `most` bytes."""
    if not name.lower().endswith(ARCHIVES[1:]):
        with zipfile.ZipFile(source) as archive:
            yield (_of_zip(archive, member) for member in archive.infolist())
        return
    with _plain(source, name, most) as plain, tarfile.open(fileobj=plain, mode="r:") as packed:
        yield (_of_tar(packed, member) for member in packed if PurePosixPath(member.name).parts)


def _plain(source: Path | IO[bytes], name: str, most: int) -> IO[bytes]:
    """A tar file without its compression, unpacked in memory up to the limit."""
    opener: Callable[..., Any] = Path.open
    if name.lower().endswith(("gz", "tgz")):
        opener = gzip.open
    elif name.lower().endswith("bz2"):
        opener = bz2.open
    elif name.lower().endswith("xz"):
        opener = lzma.open
    elif not isinstance(source, Path):
        return source
    with opener(source, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise TooLarge(f"unpacked, it is larger than {most / 2**20:.0f} MiB")
    return io.BytesIO(data)


def _of_zip(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Entry:
    name = _name(member)
    path = inside(name)

    def read(most: int) -> bytes:
        with archive.open(member) as file:
            return file.read(most)

    if path is None:
        return _shut(name, OUTSIDE, "flagged")
    if member.filename.endswith(("/", "\\")):
        return Entry(path, 0, _nothing, folder=True)
    if stat.S_ISLNK(member.external_attr >> 16):
        return Entry(path, 0, _nothing, LINK, "flagged")
    if member.flag_bits & _ENCRYPTED:
        return Entry(path, member.file_size, _nothing, "password-protected: hand it in without a password")
    return Entry(path, member.file_size, read)


def _name(member: zipfile.ZipInfo) -> str:
    """The name as meant: many tools write UTF-8 without the flag, so it is read as code page 437."""
    if member.flag_bits & _UTF8 or member.filename.isascii():
        return member.filename
    try:
        return member.filename.encode("cp437").decode()
    except UnicodeError:
        return member.filename


def _of_tar(packed: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    path = inside(member.name)

    def read(most: int) -> bytes:
        file = packed.extractfile(member)
        return file.read(most) if file else b""

    if path is None:
        return _shut(member.name, OUTSIDE, "flagged")
    if member.isdir():
        return Entry(path, 0, _nothing, folder=True)
    if member.issym() or member.islnk():
        return Entry(path, 0, _nothing, LINK, "flagged")
    if not member.isfile():
        return Entry(path, 0, _nothing, "not a file but a pipe, socket or device: not opened", "flagged")
    return Entry(path, member.size, read)


def inside(name: str) -> PurePosixPath | None:
    """A name as a path below the submission, with backslashes as `/`; None if it leads elsewhere.

    PowerShell 5 packs with backslashes, and unzip reads them as folders, too.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    drive = len(name) > 1 and name[1] == ":"
    if path.is_absolute() or ".." in path.parts or drive or "\0" in name or not path.parts:
        return None
    return path


def reason(error: BaseException) -> str:
    """What was wrong with an archive, in a line."""
    told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return shown(told.partition("\n")[0]) or type(error).__name__


def _shut(name: str, why: str, kind: Kind) -> Entry:
    """List it under a harmless path, with its real name for display."""
    return Entry(PurePosixPath(shown(name).replace("/", "\u2215")), 0, _nothing, why, kind)


def _nothing(_: int) -> bytes:
    return b""
