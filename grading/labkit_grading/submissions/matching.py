"""Which cell of a handed-in notebook is which cell of the released one.

In this order: nbgrader's mark (of several cells with one mark, the last counts, as in nbgrader's
DeduplicateIds), the cell's id, the same text at the same place. What is left between two matched cells can
only be what was there before, and an answer is recognised by the names that it binds. Nothing is guessed
beyond that: an answer that could be in several places is for a person.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from labkit_grading.submissions.cells import Cell
from labkit_grading.submissions.text import plain

MOST = 2000  # cells: aligning more would take too long
ALIKE = 0.6
"""Similarity of two sources, from which one is treated as an edit of the other."""
_BINDS = re.compile(
    r"^(?:(?:async\s+)?(?:def|class)\s+(\w+)|([A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)*)\s*(?::[^=\n]+)?=(?!=))",
    re.MULTILINE,
)


@dataclass
class Match:
    """Positions in the handed-in notebook (`handed`) by positions in the released one."""

    released: Sequence[Any]
    handed: Sequence[Cell]
    partner: dict[int, int] = field(default_factory=dict)
    absorbed: set[int] = field(default_factory=set)
    """Cells of the student's own that count as part of an answer."""

    @property
    def used(self) -> set[int]:
        """The positions in the handed-in notebook that are matched."""
        return {*self.partner.values(), *self.absorbed}

    def left(self) -> list[int]:
        """The student's own code cells."""
        used = self.used
        return [
            n for n, c in enumerate(self.handed) if n not in used and c.kind == "code" and c.source.strip()
        ]

    def gap(self, place: int) -> tuple[list[int], list[int]]:
        """The unmatched released cells around a released cell, and the student's own cells there."""
        before = next((n for n in range(place - 1, -1, -1) if n in self.partner), -1)
        after = next(
            (n for n in range(place + 1, len(self.released)) if n in self.partner), len(self.released)
        )
        low = self.partner.get(before, -1)
        high = self.partner.get(after, len(self.handed))
        inside = [n for n in self.left() if low < n < high or high < low]
        return [n for n in range(before + 1, after) if self.released[n].cell_type == "code"], inside


def match(released: Sequence[Any], handed: Sequence[Cell]) -> Match:
    """Match by marks, ids and texts; matching answers by position comes later."""
    found = Match(released, handed)
    marks = {cell.mark: n for n, cell in enumerate(handed) if cell.mark}  # the last one wins
    for place, cell in enumerate(released):
        if (name := mark(cell)) in marks:
            found.partner[place] = marks[name]
    _by_id(found)
    if len(handed) <= MOST:
        _by_text(found)
    return found


def mark(cell: Any) -> str:
    """Nbgrader's name for a released cell."""
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def _by_id(found: Match) -> None:
    known = {mark(cell) for cell in found.released} - {""}
    used = found.used
    ids = {c.id: n for n, c in enumerate(found.handed) if c.id and n not in used and c.mark not in known}
    for place, cell in enumerate(found.released):
        if place not in found.partner and str(cell.id) in ids:
            found.partner[place] = ids[str(cell.id)]


def _by_text(found: Match) -> None:
    """Match cells with the same text in the same order, consistent with earlier matches."""
    paired = {there: f"={here}" for here, there in found.partner.items()}
    ours = [
        f"={n}" if n in found.partner else f"{c.cell_type}:{plain(c.source)}"
        for n, c in enumerate(found.released)
    ]
    theirs = [paired.get(n, f"{c.kind}:{plain(c.source)}") for n, c in enumerate(found.handed)]
    for block in SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks():
        for step in range(block.size):
            found.partner.setdefault(block.a + step, block.b + step)


def binds(source: str) -> set[str]:
    """The names that a source defines at its left margin, even if it isn't valid Python."""
    found = _BINDS.findall(source)
    return {name.strip() for one, several in found for name in (one, *several.split(",")) if name.strip()}


def alike(one: str, other: str) -> bool:
    """Whether one source looks like an edit of the other."""
    matcher = SequenceMatcher(None, plain(one)[:MOST], plain(other)[:MOST], autojunk=False)
    return matcher.real_quick_ratio() > ALIKE and matcher.quick_ratio() > ALIKE and matcher.ratio() > ALIKE


def without(source: str, course: str) -> str | None:
    """A source without the lines of a course cell; None if it does not contain them."""
    lines, other = plain(source).splitlines(), plain(course).splitlines()
    for start in range(len(lines) - len(other) + 1):
        if other and lines[start : start + len(other)] == other:
            return "\n".join([*lines[:start], *lines[start + len(other) :]]).strip()
    return None
