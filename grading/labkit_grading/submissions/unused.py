"""What was handed in and not used: a line for all of it, so that nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePosixPath

from labkit_grading.submissions.files import Files
from labkit_grading.submissions.remark import Remark, shown

LISTINGS = frozenset({"timestamp.txt", "attempt.txt", ".gitignore", ".gitattributes", "README.md"})
"""What a platform or the course puts beside the work."""
NAMED = 5  # how many are named before the rest is counted


def unused(files: Files, used: Collection[PurePosixPath], told: Sequence[Remark]) -> Iterator[Remark]:
    """Lines about files that no exercise asks for, unless another line is about them."""
    known = {remark.file for remark in told}
    every = [*(str(path) for path in files.taken if path not in used), *files.others]
    left = [name for name in every if PurePosixPath(name).name not in LISTINGS and shown(name) not in known]
    if left:
        yield Remark("note", f"not used, since no exercise asks for it: {_some(left)}")
    if files.left_behind:
        behind = [f"{shown(name)} ({count})" for name, count in files.left_behind.items()]
        yield Remark("note", f"not used, since systems and editors leave it behind: {_some(behind)}")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(shown(name)[:60] for name in names[:NAMED]) + more
