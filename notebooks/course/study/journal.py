"""The finished runs, on disk: one line each, synced before the next run begins.

A killed study resumes after its last complete line; the run of a partial line is made again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from course.study.record import Run
from labkit import course
from labkit.errors import BadInput
from localcluster.stored import made, plain, write_atomically

STORED = "cluster/study.json"


def read(path: Path) -> list[Run]:
    """The runs in a journal; none if there is no file."""
    if not path.exists():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    return [made(Run, json.loads(line)) for line in whole.splitlines()]


def append(path: Path, run: Run) -> None:
    """Append one run after the last complete line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        file.seek(0)
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)
        file.write(json.dumps(plain(run)).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def store(path: Path, runs: Iterable[Run], about: Mapping[str, Any]) -> None:
    """Store the whole study as one file, for the course."""
    rows = ",\n".join(json.dumps(plain(run)) for run in runs)
    text = f'{{"about": {json.dumps(about)},\n"runs": [\n{rows}\n]}}\n'
    write_atomically(path, text, mode=0o644)


def stored(path: str | Path | None = None) -> list[Run]:
    """The runs of a stored study: that of the course, or another."""
    path = course.path(path) if path else course.root() / STORED
    if not path.exists():
        raise BadInput(f"There is no study in {path}.", fix="make study, or git checkout the file.")
    return [made(Run, run) for run in json.loads(path.read_text())["runs"]]
