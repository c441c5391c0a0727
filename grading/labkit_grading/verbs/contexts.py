"""What images of a graded run are built from: the course's own folders, and one line that a cell changes.

RUN in a Dockerfile runs as the instructor, with network access, so nothing a student wrote is ever built.
The student's process says which folder it means and what it changed; the grader changes its own copy.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labkit.errors import BadInput

IMAGE = re.compile(r"registry\.lab:5000/(me/)?llm-inference:\w[\w.-]{0,40}")
THE_COURSES = "registry.lab:5000/llm-inference:1.0"
"""Every notebook starts with this image: its name can't be given to another."""
VERSION = re.compile(r'"model-version", "[\w.]{1,40}"')
LABELS = re.compile(r'(LABEL built="\d{1,20}"\n)*')
SMALL = 64 * 2**10  # characters of a file that is changed before the build
BUILT = frozenset(
    {"cluster/images/model-server"}
    | {f"manifests/07-cold-starts/images/{size}" for size in ("full", "small")}
)
"""Folders of the course that images are built from."""


def context_of(given: Any, edition: Path, folder: Path) -> Path:
    """Copy the course's own folder, with the one line changed that a cell changes."""
    source = str(given.get("folder")) if isinstance(given, Mapping) else "nothing"
    if source not in BUILT:
        raise BadInput(f"{source:.100} is not an image of the course.", fix=f"Known: {sorted(BUILT)}")
    context = folder / Path(source).name
    shutil.copytree(edition / source, context)
    for name, text in dict(given.get("changed") or {}).items():
        path = context / str(name)
        if name not in CHANGES or not path.is_file():
            raise BadInput(f"{name!s:.100} can't be changed by a cell.", fix="Build it as it is.")
        if len(str(text)) > SMALL or not CHANGES[name](path.read_text(), str(text)):
            raise BadInput(
                f"{name!s:.100} has more changes than are allowed in a graded run.", fix="One line only."
            )
        path.write_text(str(text))
    return context


def _other_version(before: str, after: str) -> bool:
    return VERSION.sub("", before, count=1) == VERSION.sub("", after, count=1)


def _one_more_label(before: str, after: str) -> bool:
    return after.startswith(before) and bool(LABELS.fullmatch(after.removeprefix(before)))


CHANGES: Mapping[str, Callable[[str, str], bool]] = {
    "model_server/settings.py": _other_version,
    "Dockerfile": _one_more_label,
}
"""Files of an image that cells of the course change, and what that change is."""


def image(name: Any, *, new: bool = False) -> str:
    """One of the course's images in the lab's registry; a `new` name must not be the shared server's."""
    if not IMAGE.fullmatch(str(name)) or (new and name == THE_COURSES):
        raise BadInput(
            f"{name!s:.100} is not an image of the course.", fix="registry.lab:5000/me/llm-inference:1"
        )
    return str(name)
