"""The learner's edition of the course: one folder with everything that a learner needs, and no solution.

Made beside its place and then renamed, so there is never half an edition. Refuses a folder with anything in
it that it did not make itself, and one in which somebody has worked since.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat

from labkit.errors import BadInput
from labkit.notebooks.answers import without
from labkit.notebooks.learners import edition
from labkit.notebooks.strip import read

FOLDERS = ("labkit", "cluster", "manifests")
FILES = ("pyproject.toml", "requirements.lock", "environment.yml")
TEXTS = {"README.md": ("<!-- BEGIN AUTHORS -->", "<!-- END AUTHORS -->"),
         "Makefile": ("### BEGIN AUTHORS", "### END AUTHORS")}  # fmt: skip
"""Of these, what stands between the marks is for those who change the course."""
LEFT_OUT = shutil.ignore_patterns(
    "solutions", "hidden", "validation", "tests", "*_cache", "__pycache__", ".ipynb*"
)
MARK = ".labkit-release.json"
"""Says that a folder is ours, and what we wrote into it."""


@dataclass(frozen=True)
class Release:
    """What was made."""

    folder: Path
    notebooks: tuple[str, ...]
    files: int


def release(source: Path, out: Path) -> Release:
    """Make the learner's edition of the course in `source`; replaces an edition that nobody worked in."""
    out = out.resolve()
    _refuse(source, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        new = Path(folder) / "new"
        names = _make(source, new)
        hashes = _hashes(new)
        (new / MARK).write_text(json.dumps({"files": hashes}, indent=1))
        if out.exists():
            out.rename(Path(folder) / "old")
        new.rename(out)
    return Release(out, tuple(names), len(hashes))


def answers(root: Path) -> str:
    """What a course's notebooks can be run with: `exercises` only, where it holds no solutions."""
    return "solutions" if any(root.glob("manifests/*/solutions")) else "exercises"


def _refuse(source: Path, out: Path) -> None:
    if (source / MARK).exists():
        raise BadInput(f"{source} is a learner's edition itself.", fix="Release from the author's course.")
    if any(out.is_relative_to(source / folder) for folder in (*FOLDERS, "notebooks")):
        raise BadInput(f"{out} lies inside of what is copied.", fix="Choose a folder beside the course.")
    if out.is_file():
        raise BadInput(f"{out} is a file.", fix="Name a folder; it is made where there is none.")
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / MARK).exists():
        raise BadInput(
            f"{out} holds something already.",
            cause="labkit release did not make it, so it won't replace it.",
            fix="Name a new folder, or an empty one.",
        )
    if changed := _changed(out):
        raise BadInput(
            f"Somebody worked in {out}: {', '.join(changed[:3])}{' …' if len(changed) > 3 else ''}.",
            cause="Releasing anew would throw that away.",
            fix="Name another folder, or move this one away first.",
        )


def _changed(out: Path) -> list[str]:
    written: dict[str, str] = json.loads((out / MARK).read_text())["files"]
    return [name for name, digest in written.items() if _digest(out / name) != digest]


def _make(source: Path, new: Path) -> Sequence[str]:
    for folder in FOLDERS:
        shutil.copytree(source / folder, new / folder, ignore=LEFT_OUT)
    for name in FILES:
        shutil.copy2(source / name, new / name)
    for name, (begin, end) in TEXTS.items():
        (new / name).write_text(without((source / name).read_text(), begin=begin, end=end) + "\n")
    (new / "scripts").mkdir()
    for script in sorted(set(re.findall(r"scripts/[\w-]+", (new / "Makefile").read_text()))):
        shutil.copy2(source / script, new / script)
    (new / "notebooks").mkdir()
    notebooks = sorted((source / "notebooks").glob("[0-9][0-9]-*.ipynb"))
    for path in notebooks:
        nbformat.write(edition(read(path)), new / "notebooks" / path.name)
    return [path.stem for path in notebooks]


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): _digest(path) for path in files}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "gone"
