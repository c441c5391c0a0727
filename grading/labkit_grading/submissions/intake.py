"""Which submissions there are, and whose: a folder or an archive, as learning platforms export them.

A student's identity follows from the name that the platform gave, never from anything inside. Nothing is
guessed: a file that belongs to no student is listed in the report.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import unicodedata
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path, PurePosixPath

from labkit.errors import BadInput
from labkit_grading.submissions.entries import (
    BROKEN,
    OUTSIDE,
    Entry,
    ignored,
    is_archive,
    of_folder,
    opened,
    reason,
    stem,
)
from labkit_grading.submissions.files import LIMITS, Files, moved
from labkit_grading.submissions.layouts import ATTEMPT, Named, personal, submitters, told, user_of
from labkit_grading.submissions.originals import ORIGINALS, Originals
from labkit_grading.submissions.remark import Remark, shown
from labkit_grading.submissions.wrappers import COURSE, LISTING, Level, unwrapped

EXPORT = 2000  # students in one export
CLASS = 2**30  # bytes of a class's tar file, unpacked
NOBODY = "belongs to no student"
BESIDE = "stands beside the folder with the students, and belongs to none"
LATE = "the platform marked it LATE in its name; the penalty follows from the time given to labkit regrade"
ASIDE = "_nobody"
TAKEN = frozenset({ASIDE, ORIGINALS, "collected.json", "collected.md"})
"""Names in the report's folder that are no student's."""


@dataclass(frozen=True)
class Submission:
    """What one student handed in. `folder` is a unique name that is safe on every file system."""

    student: str
    folder: str
    files: Files
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class Intake:
    """All submissions, sorted by name, and files that belong to no student."""

    submissions: tuple[Submission, ...]
    strays: tuple[str, ...]


@dataclass
class Uploads:
    """A student as the export names them, with an item for each attempt or upload."""

    raw: str
    who: str
    parts: list[tuple[Named, list[Entry]]] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)


def take_in(source: Path, *, keep: Path | None = None) -> Intake:
    """Read a folder or an archive of submissions; raises `BadInput` if it contains none.

    The originals are kept unchanged below `keep`.
    """
    strays: list[str] = []
    with ExitStack() as open_files:
        level = _class(Level(source.name, _entries(source, open_files)), open_files)
        strays += sorted({f"{shown(one.path.parts[0])}: {one.why or BESIDE}" for one in level.beside})
        nobodys: list[Entry] = list(level.beside)
        hands = list(_uploads(level, strays, nobodys))
        if not hands:
            raise BadInput(
                f"There are no submissions in {source}.",
                cause="It has no folder, no archive, and no file whose name starts with a student's."
                + (f" Without a student: {', '.join(strays[:3])}." if strays else ""),
                fix="Put each student's files into a folder, or a zip file, that has the student's name.",
            )
        if len(hands) > EXPORT:
            raise BadInput(f"{source} holds more than {EXPORT} submissions.", fix="Grade it in parts.")
        aside = Files(kept=Originals(keep / ASIDE if keep else None))
        aside.kept.begin()
        for entry in nobodys:
            aside.put_by(entry)
        return Intake(tuple(_read(one, keep) for one in _named(hands)), tuple(strays))


def _entries(source: Path, open_files: ExitStack) -> list[Entry]:
    if source.is_dir():
        return list(of_folder(source))
    if not source.is_file() or not (zipfile.is_zipfile(source) or tarfile.is_tarfile(source)):
        raise BadInput(
            f"There are no submissions in {source}.",
            cause="It is neither a folder nor an archive (zip, tar)."
            if source.exists()
            else "It does not exist.",
            fix="Name a folder with one folder or zip file for each student, or the zip file of your LMS.",
        )
    name = source.name if is_archive(source.name) else f"{source.name}.zip"
    try:
        return list(open_files.enter_context(opened(source, name, CLASS)))
    except BROKEN as error:
        raise BadInput(
            f"{source} can't be read: {reason(error)}.",
            cause="The download was interrupted, or it is another kind of file.",
            fix="Download it again; or unpack it, and name the folder.",
        ) from error


def _class(level: Level, open_files: ExitStack) -> Level:
    """Descend to the students: through folders, and through an archive if it is the only file."""
    level = unwrapped(level)
    if level.folders or len(level.files) != 1 or not is_archive(level.files[0]) or told(level.files[0]):
        return level
    [packed] = [entry for entry in level.entries if entry.path.name == level.files[0]]
    try:
        data = packed.read(LIMITS.archive + 1) if packed.size <= LIMITS.archive else b""
        entries = open_files.enter_context(opened(io.BytesIO(data), packed.path.name, LIMITS.archive))
        inner = unwrapped(Level(stem(packed.path.name), list(entries)))
    except BROKEN:
        return level  # a single student's, with whatever is wrong with it
    one = inner.is_work or (len(inner.folders) == 1 and not inner.is_class)
    if one or not (inner.folders or inner.files):
        return level
    return _class(replace(inner, beside=(*level.beside, *inner.beside)), open_files)


def _uploads(level: Level, strays: list[str], nobodys: list[Entry]) -> Iterator[Uploads]:
    """The students of a level with their files, and the files that belong to no student, by name."""
    found: dict[tuple[str, ...], Uploads] = {}
    if level.is_work and not level.is_class:
        who = stem(level.name) or "student"
        note = Remark("note", "treated as one student's: there are notebooks but no students' folders")
        yield Uploads(who, who, [(Named(who), list(level.entries))], [note])
        return
    people = {**_people(level), **_users(level)}
    tops: dict[str, list[Entry]] = defaultdict(list)
    for entry in level.entries:
        if entry.why == OUTSIDE:
            strays.append(f"{shown(str(entry.path))}: its path leads out of the export")
        elif not _left_behind(entry) and entry.path.name != LISTING:
            tops[entry.path.parts[0]].append(entry)
    repositories = _repositories(level)
    for top, entries in tops.items():
        loose = len(entries) == 1 and len(entries[0].path.parts) == 1 and not entries[0].folder
        named = people.get(top) or told(top) or _plainly(top, entries[0], loose=loose)
        if named is None:
            strays.append(f"{shown(top)}: {entries[0].why or NOBODY}")
            nobodys += entries
            continue
        who = repositories.get(top, named.who)
        key = (_key(named.who), named.id) if named.id or named.when or named.inner else (top,)
        hand = found.setdefault(key, Uploads(_raw(named, top), who))
        hand.parts.append((named, [_rooted(entry, named) for entry in entries]))
    yield from found.values()


def _left_behind(entry: Entry) -> bool:
    """Whether a system or an editor left it beside the students' folders."""
    return ignored(entry.path.parts[0], folder=entry.folder or len(entry.path.parts) > 1)


def _plainly(top: str, first: Entry, *, loose: bool) -> Named | None:
    """A folder or archive named after the student, or a single notebook prefixed with their name."""
    if not loose:
        return Named(top)
    if first.why:
        return None
    return Named(stem(top)) if is_archive(top) else personal(top)


def _raw(named: Named, top: str) -> str:
    return f"{named.who}_{named.id}" if named.id and not top.startswith("submission_") else top


def _rooted(entry: Entry, named: Named) -> Entry:
    """Restore the path that the student had."""
    rest = entry.path.parts[1:]
    return moved(entry, PurePosixPath(named.inner or ("" if rest else entry.path.name), *rest))


def _people(level: Level) -> dict[str, Named]:
    """Gradescope's folders, with the names from its listing."""
    listing = next((e for e in level.entries if str(e.path) == LISTING and not e.why), None)
    if listing is None:
        return {}
    names = submitters(listing.read(LIMITS.file))
    return {folder: Named(" and ".join(people), folder) for folder, people in names.items()}


def _users(level: Level) -> dict[str, Named]:
    """Blackboard's files, by the users in its listings, since a name can contain the separator."""
    found: dict[str, Named] = {}
    for entry in level.entries:
        if (named := told(entry.path.name)) and named.inner == ATTEMPT and len(entry.path.parts) == 1:
            before = entry.path.name.removesuffix(".txt")
            if user := user_of(entry.read(LIMITS.file) if not entry.why else b""):
                mine = (e.path.name for e in level.entries if e.path.parts[0].startswith(before))
                found |= {name: replace(told(name) or named, who=user, work="") for name in mine}
    return found


def _repositories(level: Level) -> dict[str, str]:
    """GitHub Classroom's clones: they all start with the assignment's name, which is no student's."""
    tops = sorted({e.path.parts[0] for e in level.entries if ".git" in e.path.parts[1:2]})
    words = [top.split("-") for top in tops]
    same = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False)))
    if len(tops) < 2 or not same or any(len(one) == same for one in words):
        return {}
    return {top: "-".join(one[same:]) for top, one in zip(tops, words, strict=True)}


def _named(hands: Iterable[Uploads]) -> Iterator[tuple[Submission, Uploads]]:
    """Give each student a folder; two with the same name both keep the name in the export."""
    every = sorted(hands, key=lambda hand: (student(hand.who), hand.raw))
    names = Counter(_key(student(hand.who)) for hand in every)
    for hand in every:
        who = student(hand.who)
        one = Submission(who, safe(who), Files())
        if names[_key(who)] > 1:
            twice = Remark("flagged", f"another submission is also called {who}: both keep their full names")
            one = replace(one, student=shown(hand.raw), folder=safe(hand.raw, always=True))
            hand.remarks.append(twice)
        others = tuple(_others(one, hand, names))
        yield replace(one, remarks=others), hand


def _read(named: tuple[Submission, Uploads], keep: Path | None) -> Submission:
    one, hand = named
    files = Files(kept=Originals(keep / one.folder if keep else None))
    files.kept.begin()
    counted, superseded = _latest(hand)
    for part, entries in counted:
        alone = entries[0] if len(entries) == 1 and not part.inner else None
        if alone and is_archive(alone.path.name) and not alone.why:
            files.unfold(alone, PurePosixPath())
        else:
            all(files.add(entry, number=part.number) for entry in entries)
    for part, entries in superseded:
        for entry in entries:
            files.put_by(moved(entry, PurePosixPath(f"earlier {part.when}") / entry.path))
    if any(part.late for part, _ in counted):
        hand.remarks.append(Remark("late", LATE))
    if superseded:
        when = max(part.when for part, _ in counted)
        told = f"{len({part.when for part, _ in superseded})} earlier attempts: the latest, {when}, counts"
        hand.remarks.append(Remark("note", told))
    return replace(one, files=files, remarks=(*hand.remarks, *one.remarks))


Parts = list[tuple[Named, list[Entry]]]


def _latest(hand: Uploads) -> tuple[Parts, Parts]:
    """The latest attempt of each work, and the superseded ones."""
    last: dict[str, str] = {}
    for part, _ in hand.parts:
        last[part.work] = max(last.get(part.work, ""), part.when)
    counted = [one for one in hand.parts if one[0].when == last[one[0].work]]
    return counted, [one for one in hand.parts if one[0].when != last[one[0].work]]


def _others(one: Submission, hand: Uploads, names: Counter[str]) -> Iterator[Remark]:
    """A folder inside that has another student's name: copied, or meant to end up in their place."""
    paths = (entry.path for _, entries in hand.parts for entry in entries)
    for top in sorted({path.parts[0] for path in paths if len(path.parts) > 1} - COURSE):
        if _key(top) in names and _key(top) != _key(one.student):
            what = f"this folder has the name of another student; it counts as {one.student}'s"
            yield Remark("flagged", what, top)


def student(name: str) -> str:
    """The student's name in a submission's name from the LMS."""
    return shown(unicodedata.normalize("NFC", name).strip()) or "unnamed"


def _key(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def safe(name: str, *, always: bool = False) -> str:
    """A folder name for a student: letters, digits and `-_.`, plus a digest if anything was dropped."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:60]
    if plain == name and not always and plain.casefold() not in TAKEN:
        return plain
    return f"{plain or 'student'}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"
