"""A student's exercise files: found by path, else by name, and read as plain text whatever editor saved them.

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
from labkit_grading.submissions.remark import PERSON, Remark, shown
from labkit_grading.submissions.text import CONFLICT, decoded, same

LARGEST = 64 * 2**10  # bytes: the course's largest has under 2 KB
ALIASES = 20  # nested aliases can fill any memory
_AGAIN = re.compile(r"(?i)^again |(?:[-_ ]?\(\d+\)|-\d+| - (?:copy|kopie)|-copy\d*)(?=\.ya?ml)|(?<=ml)\.txt$")
_COUNT = re.compile(r"\((\d+)\)|-(\d+)\.ya?ml", re.IGNORECASE)


@dataclass
class Exercises:
    """Files that differ from the released ones, and files that a person must look at, with the reason.

    `seen`: the exercises for which some file was found.
    """

    taken: dict[PurePosixPath, bytes] = field(default_factory=dict)
    unsure: dict[PurePosixPath, str] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    seen: set[PurePosixPath] = field(default_factory=set)


def exercises(files: Mapping[PurePosixPath, bytes], released: Mapping[PurePosixPath, bytes]) -> Exercises:
    """Each exercise file that a student handed in."""
    found = Exercises()
    known = {path: _likely(path, released) for path in files}
    for place, given in released.items():
        mine = [path for path, places in known.items() if places == [place]]
        if mine:
            found.seen.add(place)
            _take(place, given, _latest(place, mine, files, found.remarks), files, found)
    for path, places in known.items():
        if len(places) > 1 and not any(same(_text(files[path]), _text(released[one])) for one in places):
            _unplaced(path, places, found)
    return found


def _likely(path: PurePosixPath, released: Mapping[PurePosixPath, bytes]) -> list[PurePosixPath]:
    """The exercises to which a file can belong."""
    parts = (*(part.casefold() for part in path.parts[:-1]), name(path.name))
    exact = [place for place in released if _ends(parts, tuple(map(str.casefold, place.parts[1:])))]
    if exact:
        return exact[:1]
    if "solutions" in parts or ("manifests" in parts and "exercises" not in parts):
        return []  # one of the course's own files, in a copy of the whole course
    same_name = [place for place in released if name(place.name) == parts[-1]]
    near = [place for place in same_name if place.parts[1][:2] in {part[:2] for part in parts[:-1]}]
    return near if len(near) == 1 else same_name


def _ends(parts: tuple[str, ...], place: tuple[str, ...]) -> bool:
    return parts[-len(place) :] == place


def name(file: str) -> str:
    """The name without what browsers and Notepad add: `hpa (1).yml`, `HPA.yaml.txt` are `hpa.yaml`."""
    return re.sub(r"\.yml$", ".yaml", _AGAIN.sub("", file).casefold())


def _latest(
    place: PurePosixPath,
    mine: list[PurePosixPath],
    files: Mapping[PurePosixPath, bytes],
    remarks: list[Remark],
) -> PurePosixPath:
    """Of several, the one with the highest copy number; of those, the first."""
    counts = {p: max((int(a or b) for a, b in _COUNT.findall(p.name)), default=0) for p in mine}
    last = max(mine, key=lambda path: counts[path])
    if any(files[path] != files[last] for path in mine):
        sure = sum(counts[path] == counts[last] for path in mine) == 1
        which = f"the latest, {last.name}, counts" if sure else "the first one counts"
        remarks.append(
            Remark("note" if sure else "flagged", f"there are {len(mine)} of it: {which}", str(place))
        )
    return last


def _take(
    place: PurePosixPath,
    given: bytes,
    path: PurePosixPath,
    files: Mapping[PurePosixPath, bytes],
    found: Exercises,
) -> None:
    if why := _unfit(files[path]):
        found.unsure[place] = why
        found.remarks.append(Remark(PERSON, f"{why}; the released one is used instead", shown(str(path))))
        return
    text = _text(files[path])
    if same(text, _text(given)):
        return
    if re.search(r"^ *\t", text, re.MULTILINE):
        found.remarks.append(Remark("note", "indented with tabs, which YAML forbids", shown(str(path))))
    found.taken[place] = text.encode()


def _unplaced(path: PurePosixPath, places: list[PurePosixPath], found: Exercises) -> None:
    several = ", ".join(str(PurePosixPath(*place.parts[1:])) for place in places)
    why = f"it can be any of {several}: hand it in in its folder"
    found.remarks.append(Remark(PERSON, why, shown(str(path))))
    found.unsure.update(dict.fromkeys(places, f"{path.name}: {why}"))


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
