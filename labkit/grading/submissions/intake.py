"""Which submissions there are, and whose: a folder, a zip file, or a name before a file.

Who a student is follows from the name that the LMS gave, never from anything inside. Refuses to guess: a file
that belongs to nobody is named in the report.
"""

from __future__ import annotations

import hashlib
import io
import re
import unicodedata
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from labkit.errors import BadInput
from labkit.grading.submissions.files import (
    BROKEN_ZIP,
    LIMITS,
    Files,
    inside,
    of_folder,
    of_zip,
    reason,
    unpack,
)
from labkit.grading.submissions.remark import Remark, shown

_MOODLE = re.compile(r"_\d+_assignsubmission_(file|onlinetext)_?$")
_CANVAS = re.compile(r"(?P<who>[^_]+)_(?:LATE_)?\d+_\d+_(?P<file>.+)")
EXPORT = 2000  # students in one export


@dataclass(frozen=True)
class Submission:
    """What one student handed in. `folder` is a name that is safe on every disk, and nobody else's."""

    student: str
    folder: str
    files: Files
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class Intake:
    """All submissions in the order of their names, and files that are nobody's."""

    submissions: tuple[Submission, ...]
    strays: tuple[str, ...]


def take_in(source: Path) -> Intake:
    """Read a folder of submissions, or one zip file that holds them; raises `BadInput` where none are."""
    strays: list[str] = []
    if source.is_dir():
        found = list(_of_folder(source, strays))
    elif source.is_file() and zipfile.is_zipfile(source):
        found = list(_of_export(source, strays))
    else:
        raise BadInput(
            f"There are no submissions in {source}.",
            cause="It is neither a folder nor a zip file." if source.exists() else "There is no such file.",
            fix="Name a folder with one folder or zip file for each student, or the zip file of your LMS.",
        )
    if not found:
        raise BadInput(
            f"There are no submissions in {source}.",
            cause="It holds no folder and no zip file.",
            fix="Put each student's files into a folder, or a zip file, that has the student's name.",
        )
    return Intake(tuple(_named(found)), tuple(strays))


def _of_folder(source: Path, strays: list[str]) -> Iterator[tuple[str, Files]]:
    loose: dict[str, Files] = defaultdict(Files)
    for path in sorted(source.iterdir()):
        if path.name.startswith((".", "__")):
            continue
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            strays.append(f"{shown(path.name)}: a link or a device, not followed")
        elif path.is_dir():
            yield path.name, of_folder(path)
        elif path.suffix.lower() == ".zip":
            yield path.stem, _zip_file(path)
        elif named := _CANVAS.fullmatch(path.name):
            name = PurePosixPath(named["file"])
            with path.open("rb") as file:
                if loose[named["who"]].wants(name):
                    loose[named["who"]].take(name, path.stat().st_size, file)
        else:
            strays.append(f"{shown(path.name)}: belongs to no student")
    yield from loose.items()


def _zip_file(path: Path) -> Files:
    if path.stat().st_size <= LIMITS.archive:
        return of_zip(path)
    found = Files()
    found.refuse("", f"the zip file is larger than {LIMITS.archive / 2**20:.0f} MiB: not opened")
    return found


def _of_export(source: Path, strays: list[str]) -> Iterator[tuple[str, Files]]:
    """The submissions of one zip file: a folder or a zip file at its top for each student."""
    with zipfile.ZipFile(source) as archive:
        groups: dict[str, list[zipfile.ZipInfo]] = defaultdict(list)
        for member in archive.infolist():
            path = inside(member.filename)
            if path is None:
                strays.append(f"{shown(member.filename)}: its path leads out of the export")
            elif not path.parts[0].startswith((".", "__")):
                groups[path.parts[0]].append(member)
        if len(groups) > EXPORT:
            raise BadInput(f"{source} holds more than {EXPORT} submissions.", fix="Grade it in parts.")
        for name, members in sorted(groups.items()):
            if all("/" in member.filename for member in members):
                files = Files()
                unpack(archive, (m for m in members if m.filename != f"{name}/"), files, below=f"{name}/")
                yield name, files
            elif name.lower().endswith(".zip"):
                yield name[:-4], _inner(archive, members[0])
            else:
                strays.append(f"{shown(name)}: belongs to no student")


def _inner(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Files:
    found = Files()
    if member.file_size > LIMITS.total:
        found.refuse("", f"the zip file is larger than {LIMITS.total / 2**20:.0f} MiB: not opened")
        return found
    try:
        with archive.open(member) as file:
            data = file.read(LIMITS.total + 1)
    except BROKEN_ZIP as error:
        found.refuse("", f"can't be unpacked: {reason(error)}")
        return found
    return of_zip(io.BytesIO(data))


def _named(found: Iterable[tuple[str, Files]]) -> Iterator[Submission]:
    """Each submission with its student; where two have one name, both keep the name that they came with."""
    pairs = [(student(name), name, files) for name, files in found]
    count = Counter(map(_key, (who for who, _, _ in pairs)))
    names = {_key(who) for who, _, _ in pairs}
    for who, name, files in sorted(pairs, key=lambda pair: pair[:2]):
        one = Submission(who, safe(who), files, tuple(_others(who, files, names)))
        if count[_key(who)] > 1:
            twice = Remark("flagged", f"another submission is called {who} too: both keep their whole names")
            one = replace(one, student=shown(name), folder=safe(name, always=True))
            one = replace(one, remarks=(*one.remarks, twice))
        yield one


def _others(who: str, files: Files, names: set[str]) -> Iterator[Remark]:
    """A folder inside that is called like another student: copied, or meant to land in that one's place."""
    tops = {path.parts[0] for path in files.taken if len(path.parts) > 1}
    for top in sorted(tops):
        if _key(top) in names and _key(top) != _key(who):
            yield Remark("flagged", f"this folder is called like another student; it counts as {who}'s", top)


def student(name: str) -> str:
    """The student's name in what the LMS called a submission."""
    return shown(unicodedata.normalize("NFC", _MOODLE.sub("", name)).strip()) or "unnamed"


def _key(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def safe(name: str, *, always: bool = False) -> str:
    """A folder's name for a student: letters, digits and `-_.`, with a digest where something was lost."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:60]
    if plain == name and not always:
        return plain
    return f"{plain or 'student'}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"
