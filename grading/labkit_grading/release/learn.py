"""The edition for someone who works alone: `learn/` in the course's folder, beside the solutions.

Made if there is none. Never touches what its owner changed: a newer course updates only the other files.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.course import around
from labkit.errors import BadInput
from labkit_grading.release.release import MARK, changed, digest_of, hashes, make, release, written

FOLDER = "learn"


@dataclass(frozen=True)
class Edition:
    """A folder to work in, and what the current course would put into it."""

    folder: Path
    state: str
    """`made`, `renewed` (it had no changes), or `kept`."""
    newer: tuple[str, ...] = ()
    """Files of a newer course that were not taken, since this edition has changes."""


@dataclass(frozen=True)
class Update:
    """What an update did: files that it updated, and files with a newer version that you have changed."""

    renewed: tuple[str, ...]
    yours: tuple[str, ...]


def at_hand(course: Path) -> Edition:
    """The edition to work in: the course itself if it is one, else its `learn/`, made if necessary."""
    if (course / MARK).exists():
        return Edition(course, "kept")
    out = course / FOLDER
    if not (out / MARK).exists():
        return Edition(release(course, out).folder, "made")
    if changed(out):
        return Edition(out, "kept", newer(course, out))
    return Edition(out, "renewed" if update(course, out).renewed else "kept")


def newer(course: Path, out: Path) -> tuple[str, ...]:
    """The files that a release would now write differently, except those refused before."""
    before, known = written(out), _refused(out)
    with tempfile.TemporaryDirectory() as folder:
        make(course, new := Path(folder) / "new")
        now = hashes(new)
    names = sorted({*before, *now})
    return tuple(n for n in names if before.get(n) != now.get(n) and known.get(n) != now.get(n))


def update(course: Path, out: Path) -> Update:
    """Update unchanged files and restore missing ones; files that you changed stay as they are."""
    if not (out / MARK).exists():
        raise BadInput(
            f"{out} is not a learner's edition.",
            cause="labkit release did not make it.",
            fix="Without --update, labkit release creates a new folder.",
        )
    before = written(out)
    renewed, yours = [], {}
    with tempfile.TemporaryDirectory() as folder:
        make(course, new := Path(folder) / "new")
        now = hashes(new)
        for name, digest in now.items():
            there = digest_of(out / name)
            if there not in {digest, before.get(name), "gone"}:
                yours[name] = digest
            elif there != digest:
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(new / name, out / name)
                renewed.append(name)
    for name in {*before} - {*now}:
        if digest_of(out / name) == before[name]:
            (out / name).unlink()
            renewed.append(name)
    # Your files keep the digest of what we once wrote, so that they still count as changed.
    files = {name: before.get(name, digest) if name in yours else digest for name, digest in now.items()}
    (out / MARK).write_text(json.dumps({"files": files, "refused": yours}, indent=1))
    return Update(tuple(renewed), tuple(n for n, digest in yours.items() if digest != before.get(n)))


def _refused(out: Path) -> dict[str, str]:
    """What the last update left alone, with the digest of the course's version at that time."""
    refused: dict[str, str] = json.loads((out / MARK).read_text()).get("refused", {})
    return refused


def author(edition: Path) -> Path:
    """The course with the solutions: this one, one around it, or labkit's; or raise `BadInput`."""
    for folder in _authors(edition):
        return folder
    raise BadInput(
        "The course's solutions are not on this machine.",
        cause=f"{edition} was released without them.",
        fix="Ask your instructor.",
    )


def has_author(edition: Path) -> bool:
    """Whether the course with the solutions is on this machine."""
    return any(True for _ in _authors(edition))


def _authors(edition: Path) -> Iterator[Path]:
    for folder in around(edition):
        if any(folder.glob("manifests/*/solutions")):
            yield folder


def edition(course: Path) -> Path:
    """Where someone who works alone does so: the course's `learn/` if there is one, else the course."""
    return course / FOLDER if (course / FOLDER / MARK).exists() else course
