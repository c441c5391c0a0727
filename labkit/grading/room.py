"""Where a class is run: a report's folder, and in it an edition and clusters that nobody else touches.

Says aloud what this platform can't enforce, and refuses to begin where that is not accepted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labkit._proc import write_atomically
from labkit.errors import BadInput
from labkit.grading import rubric as rubrics
from labkit.grading.report.write import RUBRIC
from labkit.grading.seal import Key
from labkit.grading.sitting import Patience
from labkit.node.bounds import MOST_PROCESSES
from labkit.notebooks.release import release

WORK = "work"
UNENFORCED = (
    "Pods that a submission starts share this machine's loopback: they reach what listens there unprotected.",
    "Memory is bounded for each process of a notebook (3 GiB), not for all of them together.",
)
AS_ROOT = (
    f"As root, processes are counted from outside only: more than {MOST_PROCESSES} are ended a moment later."
)


@dataclass(frozen=True)
class Room:
    """The learner's edition, the report's folder, the key, and how long anything may take."""

    edition: Path
    report: Path
    key: Key
    patience: Patience = field(default_factory=Patience)


def unenforced() -> list[str]:
    """What this platform can't keep a submission from, in sentences."""
    return [*UNENFORCED, *([AS_ROOT] if os.getuid() == 0 else [])]


def refuse_unless(trusted: bool) -> None:  # noqa: FBT001 - the answer to one question
    """Raise unless somebody accepts that."""
    if not trusted:
        raise BadInput(
            "Submissions are other people's code, and this platform can't enforce everything:\n"
            + "\n".join(f"  - {line}" for line in unenforced()),
            fix="Grade on a machine with nothing to lose, and say so: --trust-submissions.",
        )


def furnish(course: Path, report: Path, key: Key, *, rubric: Path | None, notebooks: Sequence[str]) -> Room:
    """Make the report's folder: a rubric, the learner's edition, and a home for the clusters."""
    work = report / WORK
    if report.exists() and any(report.iterdir()) and not work.exists():
        raise BadInput(
            f"{report} holds something already.",
            cause="labkit grade did not make it, so it won't write there.",
            fix="Name a new folder, or that of a run to go on with.",
        )
    if rubric is not None or not (report / RUBRIC).exists():
        text = rubric.read_text() if rubric else _plain(notebooks)
        write_atomically(report / RUBRIC, text, mode=0o644)
    rubrics.load(report / RUBRIC)  # a mistake in it is found before the class is run
    work.mkdir(parents=True, exist_ok=True)
    edition = release(course, work / "edition").folder
    return Room(edition, report, key)


def _plain(notebooks: Sequence[str]) -> str:
    listed = ", ".join(f'"{name[:2]}"' for name in notebooks)
    return f'title = "labkit"\nnotebooks = [{listed}]\npoints = 1\n'
