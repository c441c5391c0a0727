"""A student's exercise files: found by path, name or contents, and read as text whatever editor saved them.

Refuses what no API server should see, and to choose between exercises of one name; a mistake in the YAML
itself is the student's, and kubectl says which line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import yaml

from labkit.errors import BadInput
from labkit_grading.submissions.likeness import ALIASES, LARGEST, like
from labkit_grading.submissions.remark import PERSON, Remark, shown
from labkit_grading.submissions.renamed import is_copy, is_named, is_renamed, retry
from labkit_grading.submissions.text import CONFLICT, decoded, same


@dataclass
class Exercises:
    """Files that differ from the released ones, and files that a person must look at, with the reason.

    `seen`: the exercises for which some file was found. `used`: the files that were, or could be, one.
    """

    taken: dict[PurePosixPath, bytes] = field(default_factory=dict)
    unsure: dict[PurePosixPath, str] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    seen: set[PurePosixPath] = field(default_factory=set)
    used: set[PurePosixPath] = field(default_factory=set)


@dataclass(frozen=True)
class _Given:
    """What was handed in, the LMS's number of each upload, and what was released."""

    files: Mapping[PurePosixPath, bytes]
    order: Mapping[PurePosixPath, int]
    released: Mapping[PurePosixPath, bytes]


def exercises(
    files: Mapping[PurePosixPath, bytes],
    released: Mapping[PurePosixPath, bytes],
    *,
    order: Mapping[PurePosixPath, int] | None = None,
) -> Exercises:
    """Each exercise file that a student handed in."""
    given, found = _Given(files, order or {}, released), Exercises()
    known = {path: _likely(path, released) for path in files}
    for place in released:
        if mine := [path for path, places in known.items() if places == [place]]:
            _take(place, _latest(place, mine, given, found.remarks), given, found)
            found.used.update(mine)
    for path, places in known.items():
        if len(places) > 1:
            _unplaced(path, places, given, found)
    for path in [path for path, places in known.items() if not places and not _is_courses(path)]:
        _by_contents(path, given, found)
    return found


def _likely(path: PurePosixPath, released: Mapping[PurePosixPath, bytes]) -> list[PurePosixPath]:
    """The exercises to which a file can belong, by its folders and its name."""
    same_name = [place for place in released if is_named(path.name, place.name)]
    folders = tuple(part.casefold() for part in path.parts[:-1])
    exact = [place for place in same_name if _ends(folders, tuple(map(str.casefold, place.parts[1:-1])))]
    if exact:
        return exact[:1]
    if _is_courses(path):
        return []
    near = [place for place in same_name if place.parts[1][:2] in {part[:2] for part in folders}]
    return near if len(near) == 1 else same_name


def _is_courses(path: PurePosixPath) -> bool:
    """Whether it stands where the course's own files are, in a copy of the whole course."""
    parts = [part.casefold() for part in path.parts[:-1]]
    return "solutions" in parts or ("manifests" in parts and "exercises" not in parts)


def _ends(parts: tuple[str, ...], place: tuple[str, ...]) -> bool:
    return parts[-len(place) :] == place


def _latest(
    place: PurePosixPath, mine: list[PurePosixPath], given: _Given, remarks: list[Remark]
) -> PurePosixPath:
    """Of several, the latest upload, then the one with the highest number; of those, the first."""
    files = given.files
    rank = {path: (given.order.get(path, 0), retry(path, place.name)) for path in mine}
    last = max(mine, key=lambda path: (rank[path], not is_copy(path)))
    if len(mine) > 1 and all(files[path] == files[last] for path in mine):
        remarks.append(Remark("note", f"handed in {len(mine)} times with the same contents", str(place)))
    elif len(mine) > 1:
        sure = sum(rank[path] == rank[last] for path in mine) == 1
        why = "the latest counts" if sure else "it is not known which is the latest, and this one counts"
        told = f"there are {len(mine)} of it; {why}: {shown(str(last))}"
        remarks.append(Remark("note" if sure else "flagged", told, str(place)))
    return last


def _take(
    place: PurePosixPath, path: PurePosixPath, given: _Given, found: Exercises, how: str = "by its name"
) -> None:
    found.seen.add(place)
    found.used.add(path)
    if why := _unfit(given.files[path]):
        found.unsure[place] = why
        found.remarks.append(Remark(PERSON, f"{why}; the released one is used instead", shown(str(path))))
        return
    if is_renamed(path.name, place.name):
        told = f"taken as {PurePosixPath(*place.parts[1:])}, {how}"
        found.remarks.append(Remark("note", told, shown(str(path))))
    text = _text(given.files[path])
    if same(text, _text(given.released[place])):
        return
    if re.search(r"^ *\t", text, re.MULTILINE):
        found.remarks.append(Remark("note", "indented with tabs, which YAML forbids", shown(str(path))))
    found.taken[place] = text.encode()


def _by_contents(path: PurePosixPath, given: _Given, found: Exercises) -> None:
    """A file whose name says nothing: what no other file was found for is recognised by its objects."""
    places = [place for place in like(given.files[path], given.released) if place not in found.seen]
    if len(places) == 1:
        _take(places[0], path, given, found, "by its contents")
    elif places:
        _unplaced(path, places, given, found)


def _unplaced(path: PurePosixPath, places: list[PurePosixPath], given: _Given, found: Exercises) -> None:
    """A file that could be one of several: a person must look, unless it says nothing new."""
    files, released = given.files, given.released
    open_ = [place for place in places if place not in found.seen]
    if any(same(_text(files[path]), _text(released[one])) for one in places):
        found.used.add(path)
    elif open_:
        several = ", ".join(str(PurePosixPath(*place.parts[1:])) for place in places)
        why = f"it can be any of {several}: hand it in in its folder"
        found.used.add(path)
        found.remarks.append(Remark(PERSON, why, shown(str(path))))
        found.unsure.update(dict.fromkeys(open_, f"{path.name}: {why}"))


def _text(data: bytes) -> str:
    try:
        return decoded(data)[0]
    except BadInput:
        return ""


def _unfit(data: bytes) -> str:
    """Why a file can't be sent to an API server; mistakes that the server will report don't count."""
    if len(data) > LARGEST:
        return f"{len(data) / 2**10:,.0f} KiB is too large for an exercise"
    try:
        text = decoded(data)[0]
        if CONFLICT.search(text):
            return (
                "Git's conflict markers (<<<<<<<, =======, >>>>>>>) are in it: two versions were never merged"
            )
        if sum(isinstance(event, yaml.AliasEvent) for event in _events(text)) > ALIASES:
            return f"more than {ALIASES} aliases: it would expand without limit"
    except BadInput as error:
        return error.what
    except (yaml.YAMLError, RecursionError):
        return ""  # kubectl says which line
    return ""


def _events(text: str) -> Iterator[yaml.Event]:
    yield from yaml.parse(text)
