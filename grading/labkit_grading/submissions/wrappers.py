"""Finds the class in an export: descends through wrapper folders to the level where each name is a student.

Never takes a student's own folders for wrappers: once there are course notebooks, the search stops.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from labkit_grading.submissions.entries import Entry, is_archive, stem
from labkit_grading.submissions.files import moved
from labkit_grading.submissions.layouts import personal, told

LISTING = "submission_metadata.yml"
INNER = ("submitted", "inbound", "submitted files")
"""Of nbgrader's course folder and exchange, and of Teams: beside them lie releases, feedback, drafts."""
BESIDE = frozenset(
    {"source", "release", "autograded", "feedback", "outbound", "working files", "gradebook.db"}
    | {"nbgrader_config.py", "feedback_public"}
)
COURSE = frozenset({"labkit", "learners", "learner", "course", "my course", "lab", "work", "home"})
"""Names of a copy of the course: no student's."""
_WRAPS = re.compile(
    r"(submissions?|submitted|exports?|downloads?|downloaded|class|course|students?|hand-?ins?|assignments?"
    r"|homework|hw|ps|week|lab|archive|abgaben?|.*_export|.*submissions.*|.*-\d{8}T\d{6}Z.*)[ _-]?\d*",
    re.IGNORECASE,
)
_NOTEBOOK = re.compile(r".*\d\d-[a-z].*\.ipynb.*", re.IGNORECASE)


@dataclass(frozen=True)
class Level:
    """The files below one folder of an export, by relative path; `name` is the folder's.

    `beside`: what stood beside it or beside a folder around it, but for what a platform puts there.
    """

    name: str
    entries: Sequence[Entry]
    beside: tuple[Entry, ...] = ()

    @property
    def folders(self) -> list[str]:
        """The names of the folders at the top."""
        inside = (e for e in self.entries if len(e.path.parts) > 1 or e.folder)
        return sorted({e.path.parts[0] for e in inside if not e.ignored})

    @property
    def files(self) -> list[str]:
        """The names of the files at the top."""
        loose = (e for e in self.entries if len(e.path.parts) == 1 and not e.folder)
        return sorted(e.path.name for e in loose if not e.ignored)

    def below(self, name: str) -> Level:
        """The level below one of its folders."""
        inner = [e for e in self.entries if e.path.parts[0] == name and len(e.path.parts) > 1]
        others = (e for e in self.entries if e.path.parts[0] != name and not e.ignored and not e.folder)
        beside = (e for e in others if e.path.parts[0].casefold() not in BESIDE)
        here = [moved(e, PurePosixPath(*e.path.parts[1:])) for e in inner]
        return Level(name, here, (*self.beside, *beside))

    @property
    def is_work(self) -> bool:
        """Whether this is one student's copy of the course, or part of it."""
        if {name.casefold() for name in self.folders} & {"notebooks", "manifests"}:
            return True
        loose = [n for n in self.files if _NOTEBOOK.fullmatch(n) and not told(n) and not personal(n)]
        if any(self.below(name).is_work for name in self.folders):
            return False  # student folders, and a file beside them
        return bool(loose) and not any(told(n) or is_archive(n) for n in self.files)

    @property
    def is_class(self) -> bool:
        """Whether the names at the top are ones that a platform gives to students."""
        named = (*self.folders, *self.files)
        return LISTING in self.files or any(told(n) or re.fullmatch(r"submission_\d+", n) for n in named)


def unwrapped(level: Level) -> Level:
    """The level at which the students are; at most as deep as the paths are."""
    inner = _inner(level)
    while inner is not None:
        level, inner = inner, _inner(inner)
    return level


def _inner(level: Level) -> Level | None:
    known = {name.casefold(): name for name in level.folders}
    around = {name.casefold() for name in (*level.folders, *level.files)}
    for name in INNER:
        if name in known and (around & BESIDE or len(known) == 1):
            return level.below(known[name])
    if level.is_class or level.is_work or len(level.folders) != 1 or any(map(_tells, level.files)):
        return None
    only = level.below(level.folders[0])
    return only if _wraps(only, level.name) else None


def _tells(file: str) -> bool:
    """Whether a file at the top is a student's work, not a note beside the class."""
    return is_archive(file) or _NOTEBOOK.fullmatch(file) is not None or personal(file) is not None


def _wraps(only: Level, around: str) -> bool:
    """Whether the only folder of a level wraps the class or belongs to its only student."""
    if only.is_class:
        return True
    if only.is_work:
        return False
    if len(only.folders) + sum(map(_tells, only.files)) > 1:
        return True
    wrapper = _WRAPS.fullmatch(only.name) or only.name.casefold() == stem(around).casefold()
    return bool(wrapper) and bool(only.folders or any(map(_tells, only.files)))
