"""What was handed out, and so what is expected back: released notebooks, and the exercise files.

Made from the course itself, by the same function that `labkit release` uses. Never read from an edition that
someone has worked in: a student's copy is no reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from labkit.errors import BadInput
from labkit.notebooks.answers import available
from labkit.notebooks.strip import read
from labkit_grading.release.learners import edition


@dataclass(frozen=True)
class Assignment:
    """The notebooks by stem, and each exercise file with its content as released."""

    notebooks: Mapping[str, Any]
    exercises: Mapping[PurePosixPath, bytes]


def assignment(course: Path, notebooks: Sequence[Path]) -> Assignment:
    """Some notebooks of a course, with the exercise files of the same numbers."""
    if available(course) != "solutions":
        raise BadInput(
            f"{course} is a learner's edition.",
            cause="Someone may have worked in it, so it does not show what the course released.",
            fix="Run this in the author's course.",
        )
    numbers = {path.stem[:2] for path in notebooks}
    exercises = {
        PurePosixPath(path.relative_to(course).as_posix()): path.read_bytes()
        for path in sorted(course.glob("manifests/*/exercises/**/*"))
        if path.is_file() and path.relative_to(course).parts[1][:2] in numbers
    }
    return Assignment({path.stem: edition(read(path)) for path in notebooks}, exercises)
