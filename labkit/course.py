"""Where the course's files lie, whichever folder a notebook or a command was started in."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from labkit.errors import BadInput

LEFTOVERS = shutil.ignore_patterns("__pycache__")


def root() -> Path:
    """The nearest folder, from here upwards, that holds notebooks and manifests; else this checkout's."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).parents[1]):
        if (folder / "notebooks").is_dir() and (folder / "manifests").is_dir():
            return folder
    raise BadInput(
        "The course's files are not here.",
        cause=f"Neither {here} nor a folder above it holds notebooks/ and manifests/.",
        fix="Change to the folder of the course first.",
    )


def path(given: str | Path) -> Path:
    """A path as the learner means it: from here, or else from the course's folder."""
    asked = Path(given)
    return asked if asked.is_absolute() or asked.exists() else root() / asked


def copy(folder: str, *, into: Path | None = None) -> Path:
    """A fresh copy of a folder of the course, under `out/` or elsewhere, without what Python left in it."""
    source = root() / folder
    return shutil.copytree(source, (into or out(source.name)) / source.name, ignore=LEFTOVERS)


def out(name: str) -> Path:
    """A new folder for what a run leaves behind, under `out/<name>`, which git ignores, or `LABKIT_OUT`."""
    chosen = os.environ.get("LABKIT_OUT")
    folder = (Path(chosen) if chosen else root() / "out") / name
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="", dir=folder))
