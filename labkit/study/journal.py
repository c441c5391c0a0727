"""The runs that are done, on disk: a line each, synced before the next one begins.

A study that was killed goes on after its last whole line. Refuses to guess at half a line: it is made again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from labkit import course
from labkit._proc import write_atomically
from labkit.errors import BadInput
from labkit.study.record import Run

STORED = "cluster/study.json"


def read(path: Path) -> list[Run]:
    """The runs in a journal; none where there is no file."""
    if not path.exists():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    return [Run.of_json(json.loads(line)) for line in whole.splitlines()]


def append(path: Path, run: Run) -> None:
    """Write one more run down, after what is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        file.seek(0)
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)
        file.write(json.dumps(run.to_json()).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def store(path: Path, runs: Iterable[Run], about: Mapping[str, Any]) -> None:
    """The whole study as one file, for the course."""
    rows = ",\n".join(json.dumps(run.to_json()) for run in runs)
    text = f'{{"about": {json.dumps(about)},\n"runs": [\n{rows}\n]}}\n'
    write_atomically(path, text, mode=0o644)


def stored(path: Path | None = None) -> list[Run]:
    """The runs of a stored study: that of the course, or another."""
    path = path or course.root() / STORED
    if not path.exists():
        raise BadInput(f"There is no study in {path}.", fix="make study, or git checkout the file.")
    return [Run.of_json(run) for run in json.loads(path.read_text())["runs"]]
