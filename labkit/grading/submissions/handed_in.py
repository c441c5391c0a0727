"""What of a submission belongs to the assignment: a notebook for each that was released, and exercise files.

A file that was renamed or lies elsewhere is found by what is in it, where that leaves no doubt. Refuses to
choose between two that could both be meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from labkit.errors import BadInput
from labkit.grading.submissions.cells import Cell, read
from labkit.grading.submissions.intake import Submission
from labkit.grading.submissions.released import Assignment
from labkit.grading.submissions.remark import Remark, shown
from labkit.grading.submissions.restore import Restored, restore

EXERCISE = 64 * 2**10  # bytes: the largest of the course has under two
ALIASES = 20  # an alias of aliases of aliases fills any memory


@dataclass(frozen=True)
class HandedIn:
    """A clean submission: notebooks as they will run, exercise files that differ from the released ones."""

    student: str
    folder: str
    notebooks: Mapping[str, Restored]
    exercises: Mapping[PurePosixPath, bytes]
    remarks: tuple[Remark, ...]

    @property
    def answers(self) -> int:
        """How much of it is the student's: solution cells and exercise files."""
        return sum(one.answers for one in self.notebooks.values()) + len(self.exercises)


def clean(submission: Submission, wanted: Assignment) -> HandedIn:
    """Sort out one submission; whatever is missing or can't be read is as it was released."""
    remarks = [*submission.remarks, *submission.files.remarks]
    readable = dict(_readable(submission, remarks))
    notebooks = {stem: _notebook(stem, wanted, readable, remarks) for stem in wanted.notebooks}
    exercises = dict(_exercises(submission.files.taken, wanted, remarks))
    remarks += [remark for one in notebooks.values() for remark in one.remarks]
    return HandedIn(submission.student, submission.folder, notebooks, exercises, tuple(remarks))


def _readable(
    submission: Submission, remarks: list[Remark]
) -> Iterator[tuple[PurePosixPath, Sequence[Cell]]]:
    for path, data in submission.files.taken.items():
        if path.suffix.lower() == ".ipynb":
            try:
                yield path, read(data)
            except BadInput as error:
                remarks.append(Remark("refused", error.what, shown(str(path))))


def _notebook(
    stem: str,
    wanted: Assignment,
    readable: Mapping[PurePosixPath, Sequence[Cell]],
    remarks: list[Remark],
) -> Restored:
    released = wanted.notebooks[stem]
    name = f"{stem}.ipynb"
    found = [path for path in readable if path.name == name]
    if not found:
        found = [
            path for path in readable if path.stem not in wanted.notebooks and _is(released, readable[path])
        ]
        remarks += [Remark("note", f"taken as {name}, by its cells", shown(str(path))) for path in found[:1]]
    if len(found) > 1:
        others = ", ".join(shown(str(path)) for path in found[1:4])
        remarks.append(Remark("flagged", f"there is more than one: {others} were left out", name))
    if not found:
        remarks.append(Remark("missing", "not handed in: it counts as untouched", name))
        return Restored(released, 0, ())
    return restore(released, readable[found[0]], name=name)


def _is(released: Any, cells: Sequence[Cell]) -> bool:
    """Whether a notebook of another name is this one: most of its marks or ids are there."""
    names = {cell.id for cell in released.cells if cell.cell_type == "code"}
    return 2 * len(names & {cell.id for cell in cells}) > len(names)


def _exercises(
    taken: Mapping[PurePosixPath, bytes], wanted: Assignment, remarks: list[Remark]
) -> Iterator[tuple[PurePosixPath, bytes]]:
    files = [path for path in taken if path.suffix.lower() != ".ipynb"]
    for place, released in wanted.exercises.items():
        found = [path for path in files if path.parts[1 - len(place.parts) :] == place.parts[1:]]
        if not found and sum(other.name == place.name for other in wanted.exercises) == 1:
            found = [path for path in files if path.name == place.name and "solutions" not in path.parts]
        if len(found) > 1:
            remarks.append(
                Remark("flagged", f"there are {len(found)} of it: the first one counts", str(place))
            )
        if found and (data := taken[found[0]]).strip() != released.strip():
            if reason := _unfit(data):
                remarks.append(
                    Remark("refused", f"{reason}; the released one stands in its place", str(place))
                )
            else:
                yield place, data


def _unfit(data: bytes) -> str:
    """Why a file can't be handed to an API server; a mistake that the API server will name is none."""
    if len(data) > EXERCISE:
        return f"{len(data) / 2**10:,.0f} KiB are no exercise"
    try:
        text = data.decode()
        if sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)) > ALIASES:
            return f"more than {ALIASES} aliases: it would grow without end"
    except UnicodeDecodeError:
        return "its bytes are no text"
    except (yaml.YAMLError, RecursionError):
        return ""  # kubectl says which line
    return ""
