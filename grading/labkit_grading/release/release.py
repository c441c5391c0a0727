"""The learner's edition of the course: one folder with everything that a learner needs, and no solution.

Made beside its final place and then renamed, so there is never half an edition. Refuses a folder with
anything in it that it did not make itself, and one in which someone has worked since.
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
from labkit.notebooks.strip import read
from labkit_grading.release.learners import edition

FOLDERS = ("labkit", "cluster", "manifests", "notebooks/course")
FILES = (
    *("pyproject.toml", "requirements.lock", "environment.yml", "LICENSE", "NOTICE"),
    *("docs/kubectl.md", "docs/fields.md", "docs/conformance.md"),
)
PAGES = ("README.md", "docs/how-real.md", "docs/operators.md", "docs/why.md")
TEXTS = {
    **dict.fromkeys(PAGES, ("<!-- BEGIN AUTHORS -->", "<!-- END AUTHORS -->")),
    "Makefile": ("### BEGIN AUTHORS", "### END AUTHORS"),
}
"""Of these, what stands between the marks is for those who change the course."""
LEFT_OUT = shutil.ignore_patterns("solutions", "hidden", "tests", "*_cache", "__pycache__", ".ipynb*")
LEFT_BEHIND = re.compile(
    r"(^|/)(out|build|data|\.venv|__pycache__|\.ipynb_checkpoints|\.[\w-]*_?cache|[^/]+\.egg-info)/"
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
    """Make the learner's edition of the course in `source`; replaces an edition without any work in it."""
    out = out.resolve()
    _refuse(source, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        new = Path(folder) / "new"
        names = make(source, new)
        files = hashes(new)
        (new / MARK).write_text(json.dumps({"files": files}, indent=1))
        if out.exists():
            out.rename(Path(folder) / "old")
        new.rename(out)
    return Release(out, tuple(names), len(files))


def _refuse(source: Path, out: Path) -> None:
    if (source / MARK).exists():
        raise BadInput(f"{source} is a learner's edition itself.", fix="Release from the author's course.")
    if any(out.is_relative_to(source / folder) for folder in (*FOLDERS, "notebooks")):
        raise BadInput(f"{out} is inside the copied folder.", fix="Choose a folder beside the course.")
    if out.is_file():
        raise BadInput(f"{out} is a file.", fix="Name a folder; it is created if it does not exist.")
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / MARK).exists():
        raise BadInput(
            f"{out} is not empty.",
            cause="labkit release did not create it, so it won't replace it.",
            fix="Name a new folder, or an empty one.",
        )
    if work := [*changed(out), *added(out)]:
        raise BadInput(
            f"Someone has worked in {out}: {', '.join(work[:3])}{' …' if len(work) > 3 else ''}.",
            cause="Releasing again would delete that work.",
            fix=f"labkit release --update {out} updates the unchanged files; or name another folder.",
        )


def written(out: Path) -> dict[str, str]:
    """The digest of each file that we wrote into an edition."""
    files: dict[str, str] = json.loads((out / MARK).read_text())["files"]
    return files


def changed(out: Path) -> list[str]:
    """The files of an edition that someone changed or removed."""
    return [name for name, digest in written(out).items() if digest_of(out / name) != digest]


def added(out: Path) -> list[str]:
    """The files that someone added to an edition; files left by programs don't count."""
    ours = {*written(out), MARK}
    return [name for name in hashes(out) if name not in ours and not LEFT_BEHIND.search(name)]


def make(source: Path, new: Path) -> Sequence[str]:
    """Write the edition into a new folder, without the mark; return the notebooks' names."""
    for folder in FOLDERS:
        shutil.copytree(source / folder, new / folder, ignore=LEFT_OUT)
    (new / "docs").mkdir()
    for name in FILES:
        shutil.copy2(source / name, new / name)
    for name, (begin, end) in TEXTS.items():
        (new / name).write_text(without((source / name).read_text(), begin=begin, end=end) + "\n")
    (new / "scripts").mkdir()
    for script in _scripts(source, (new / "Makefile").read_text()):
        shutil.copy2(source / script, new / script)
    notebooks = sorted((source / "notebooks").glob("[0-9][0-9]-*.ipynb"))
    for path in notebooks:
        nbformat.write(edition(read(path)), new / "notebooks" / path.name)
    return [path.stem for path in notebooks]


def _scripts(source: Path, text: str) -> list[str]:
    """The scripts that a text names, and those that these name."""
    named = sorted(set(re.findall(r"scripts/[\w-]+(?:\.py)?", text)))
    inner = [one for name in named for one in _scripts(source, _code(source / name)) if one not in named]
    return [*named, *dict.fromkeys(inner)]


def _code(script: Path) -> str:
    """A script without its comments, which mention its own name."""
    lines = script.read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("#", '"""')))


def hashes(folder: Path) -> dict[str, str]:
    """The digest of each file below a folder, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): digest_of(path) for path in files}


def digest_of(path: Path) -> str:
    """The digest of a file's content; `gone` if there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "gone"
