"""The course's own answer to an exercise, to compare with your own once the check has passed.

Read from the course with solutions. Some checks ask for no answer, and so have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from labkit import checks
from labkit.errors import BadInput
from labkit.notebooks.answers import BEGIN, END
from labkit.notebooks.strip import read
from labkit_grading.release.learners import FILES, pieces

_FILE = re.compile(r"manifests/[\w./-]*\{ANSWERS\}[\w./-]*")


@dataclass(frozen=True)
class Solution:
    """Where an answer belongs (a notebook's cell, or a file), and what the course has there."""

    place: str
    text: str

    def differences(self, edition: Path) -> str:
        """The changes from your file to the course's, as in `diff -u`; empty if they are the same."""
        mine = edition / self.place
        if not mine.is_file():
            return self.text
        lines = unified_diff(
            mine.read_text().splitlines(),
            self.text.splitlines(),
            f"yours: {self.place}",
            "the course's",
            lineterm="",
        )
        return "\n".join(lines)


def of(check: str, author: Path) -> list[Solution]:
    """The answers that lead to a check; `BadInput` if there is no such check, or it asks for none."""
    number = checks.get(check).notebook
    [path] = author.glob(f"notebooks/{number}-*.ipynb")
    sources = [piece.cell.source for piece in pieces(read(path)) if check in piece.hints]
    found = [solution for source in sources for solution in _of(source, path, author)]
    if not found:
        raise BadInput(
            f"{check} has no solution of its own.",
            cause="It checks what the cluster did, or what you did there.",
            fix=f"Read the cells above it in notebooks/{path.name}.",
        )
    return found


def _of(source: str, path: Path, author: Path) -> Iterator[Solution]:
    for answer in re.findall(rf"{BEGIN}\n(.*?)\n? *{END}", source, re.DOTALL):
        yield Solution(f"notebooks/{path.name}", answer)
    for name in dict.fromkeys(_FILE.findall(source)):
        solved = author / name.replace(FILES, "solutions")
        for file in sorted(solved.rglob("*")) if solved.is_dir() else [solved]:
            place = str(file.relative_to(author)).replace("/solutions/", "/exercises/")
            yield Solution(place, file.read_text().rstrip())
