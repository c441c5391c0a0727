"""Where the course's files are, whichever folder a notebook or a command was started in."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from labkit.errors import BadInput

LEFTOVERS = shutil.ignore_patterns("__pycache__")


def root() -> Path:
    """The nearest folder, from here upwards, with notebooks and manifests; else the installed checkout."""
    for folder in _roots():
        return folder
    raise BadInput(
        "The course's files are not here.",
        cause=f"Neither {Path.cwd()} nor a folder above it contains notebooks/ and manifests/.",
        fix="Change to the course's folder first.",
    )


def _roots() -> Iterator[Path]:
    for folder in around(Path.cwd()):
        if (folder / "notebooks").is_dir() and (folder / "manifests").is_dir():
            yield folder


def _installed() -> Iterator[Path]:
    """The checkout from which Python imports notebooks/course."""
    found = find_spec("course")
    for place in (found.submodule_search_locations or ()) if found else ():
        yield Path(place).parent.parent


def around(folder: Path) -> Iterator[Path]:
    """The folder, all its parents, and the installed checkout."""
    yield from (folder, *folder.parents, *_installed())


def path(given: str | Path) -> Path:
    """A path as the learner means it: relative to the working directory, or else to the course's folder.

    Every verb that takes a path uses this, so the same path means the same file everywhere: JupyterLab runs a
    notebook in notebooks/, while a terminal is usually in the course's folder.
    """
    asked = Path(given).expanduser()
    if asked.is_absolute() or asked.exists():
        return asked
    found = next(_roots(), None)
    return found / asked if found and (found / asked).exists() else asked


def existing(given: str | Path) -> Path:
    """`path` for something that exists; otherwise `BadInput` lists the places that were searched."""
    found = path(given)
    if found.exists():
        return found
    looked = [] if found.is_absolute() else list(dict.fromkeys([Path.cwd(), *_roots()]))[:2]
    raise BadInput(
        f"There is no file or folder {given}.",
        cause=f"It is not below {', nor below '.join(map(str, looked))}." if looked else "",
        fix="Check the spelling, or give the full path.",
    )


def copy(folder: str | Path, *, into: Path | None = None) -> Path:
    """Make a fresh copy of a course folder, under `out/` or elsewhere, without Python's caches."""
    source = existing(folder)
    return shutil.copytree(source, (into or out(source.name)) / source.name, ignore=LEFTOVERS)


def out(name: str) -> Path:
    """A new folder for a run's output, under `out/<name>` (ignored by git) or under `LABKIT_OUT`."""
    chosen = os.environ.get("LABKIT_OUT")
    folder = (Path(chosen) if chosen else root() / "out") / name
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="", dir=folder))
