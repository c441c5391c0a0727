"""The files of one submission, read from a folder or a zip file that somebody else made.

Never follows a link, never leaves the folder, reads no more than `Limits` allow whatever a header promises,
opens no archive within an archive. What is not taken is a remark; nothing raises.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from labkit.grading.submissions.remark import Remark, shown

TAKEN = frozenset({".ipynb", ".yaml", ".yml"})
"""Nothing else is looked into: not a result file, not a script, not an archive."""
IGNORED = frozenset({"__MACOSX", ".ipynb_checkpoints", ".git", ".venv", "__pycache__"})
RESULTS = frozenset(
    {"feedback.html", "grades.csv", "grades.json", "junit.xml", "results.json", "rubric.toml"}
)
"""What grading makes: nobody is asked to hand it in."""
BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,
    NotImplementedError,
    OSError,
    ValueError,
)
"""Cut short, a wrong checksum, an unknown method, a name that is no name."""
_ENCRYPTED = 1  # of a zip entry's flags


@dataclass(frozen=True)
class Limits:
    """Of one submission, in bytes. An executed notebook with all its plots has 2 to 3 MiB."""

    file: int = 16 * 2**20
    total: int = 64 * 2**20
    files: int = 2000
    archive: int = 256 * 2**20


LIMITS = Limits()


@dataclass
class Files:
    """What was taken, by its path in the submission, and remarks on what was not."""

    limits: Limits = LIMITS
    taken: dict[PurePosixPath, bytes] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    others: int = 0
    """Files of kinds that nobody asked for."""

    def refuse(self, name: str, why: str) -> None:
        """Not taken, and this is why."""
        self.remarks.append(Remark("refused", why, shown(name)))

    def flag(self, name: str, why: str) -> None:
        """Not taken, and a person should look."""
        self.remarks.append(Remark("flagged", why, shown(name)))

    def take(self, path: PurePosixPath, size: int, source: IO[bytes]) -> None:
        """Read one file, as far as the limits go; `size` is only what its header says."""
        left = self.limits.total - sum(map(len, self.taken.values()))
        most = min(self.limits.file, left)
        data = source.read(most + 1) if size <= most else b""
        if size > most or len(data) > most:
            told = f"says {size / 2**20:,.0f} MiB" if size > most else "is larger than its header says"
            self.refuse(str(path), f"too large: it {told}, {most / 2**20:.0f} MiB are read at most")
        else:
            self.taken[path] = data

    def wants(self, path: PurePosixPath) -> bool:
        """Whether this kind of file is looked into at all."""
        if IGNORED.intersection(path.parts):
            return False
        if path.name.lower() in RESULTS or path.suffix == ".evidence":
            self.flag(str(path), "named like a result of grading: not looked into")
        if path.suffix.lower() not in TAKEN:
            self.others += 1
            return False
        if path in self.taken:
            self.refuse(str(path), "its name stands there twice: the first one counts")
            return False
        return True


def of_folder(folder: Path, limits: Limits = LIMITS) -> Files:
    """The files below a folder."""
    found = Files(limits)
    for number, (path, name) in enumerate(_walk(folder, found)):
        if number >= limits.files:
            found.refuse("", f"more than {limits.files} files: the rest was not looked at")
            break
        if found.wants(name):
            _read(path, name, found)
    return found


def _walk(folder: Path, found: Files) -> Iterator[tuple[Path, PurePosixPath]]:
    for here, folders, files in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted([*files, *(f for f in folders if Path(here, f).is_symlink())]):
            path = Path(here, name)
            inside = PurePosixPath(path.relative_to(folder).as_posix())
            if path.is_symlink():
                found.flag(str(inside), "a link, which may lead anywhere: not followed")
            else:
                yield path, inside


def _read(path: Path, name: PurePosixPath, found: Files) -> None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        found.refuse(str(name), f"can't be read: {error.strerror}")
        return
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            found.flag(str(name), "no file but a pipe, socket or device: not opened")
        else:
            found.take(name, status.st_size, file)


def of_zip(source: Path | IO[bytes], limits: Limits = LIMITS) -> Files:
    """The files of a zip file."""
    found = Files(limits)
    try:
        with zipfile.ZipFile(source) as archive:
            unpack(archive, archive.infolist(), found)
    except BROKEN_ZIP as error:
        found.refuse("", f"not a zip file that can be read: {reason(error)}")
    return found


def unpack(
    archive: zipfile.ZipFile, members: Iterable[zipfile.ZipInfo], found: Files, *, below: str = ""
) -> None:
    """Take some entries of a zip file, or what lies below one of its folders."""
    for number, member in enumerate(members):
        if number >= found.limits.files:
            found.refuse("", f"more than {found.limits.files} entries: the rest was not looked at")
            return
        path = inside(member.filename.removeprefix(below))
        if path is None:
            found.flag(member.filename, "its path leads out of the submission: not taken")
        elif stat.S_ISLNK(member.external_attr >> 16):
            found.flag(member.filename, "a link, which may lead anywhere: not followed")
        elif member.flag_bits & _ENCRYPTED:
            found.refuse(str(path), "locked with a password: hand it in without one")
        elif not member.is_dir() and found.wants(path):
            _member(archive, member, path, found)


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: PurePosixPath, found: Files) -> None:
    try:
        with archive.open(member) as file:
            found.take(path, member.file_size, file)
    except BROKEN_ZIP as error:
        found.refuse(str(path), f"can't be unpacked: {reason(error)}")


def inside(name: str) -> PurePosixPath | None:
    """A name of an archive as a path below the submission; None where it leads elsewhere."""
    path = PurePosixPath(name)
    windows = "\\" in name or (len(name) > 1 and name[1] == ":")
    if path.is_absolute() or ".." in path.parts or windows or "\0" in name or not path.parts:
        return None
    return path


def reason(error: BaseException) -> str:
    """What was wrong with an archive, in a line."""
    first = str(error).partition("\n")[0]
    return shown(first) or type(error).__name__
