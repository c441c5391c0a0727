"""Validates a notebook as a file: whether it can be released, its checks be asked, its students be graded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from course.untouched import FILE, OPEN
from labkit import checks
from labkit.errors import BadInput
from labkit.notebooks.strip import read
from labkit_grading.judging.sources import sources
from labkit_grading.release.learners import edition
from labkit_grading.verbs import asked
from tests.course.findings import Problem
from tests.course.steps import steps


def validate(path: Path) -> list[Problem]:
    """What keeps a notebook from being released, its checks from being asked, its students from a grade."""
    try:
        notebook = read(path)
        if wrong := [*_unknown(path, notebook), *_calls(path, notebook)]:
            return wrong
        released = edition(notebook)
    except (BadInput, SyntaxError) as error:
        return [_unreadable(path, error)]
    return [*_arguments(released), *_beyond(path, released), *_declared(path)]


def _unreadable(path: Path, error: BadInput | SyntaxError) -> Problem:
    if isinstance(error, BadInput):
        return Problem(path.stem, error.what, error.cause or "It was edited.", error.fix)
    where = f"line {error.lineno} of a cell: {(error.text or '').strip()}"
    return Problem(path.stem, f"{error.msg}, {where}", "A cell is not Python.", "Fix it, or make it text.")


def _own(path: Path) -> set[str]:
    return {check.id for check in checks.CHECKS.values() if check.notebook == path.stem[:2]}


def _unknown(path: Path, notebook: Any) -> Iterator[Problem]:
    for name in sorted({step.check for step in steps(notebook)} - _own(path)):
        yield Problem(
            name, f"{path.name} calls it, and there is no such check of this notebook",
            "A typing error, or the check was renamed.", f"labkit checks ls {path.stem[:2]}",
        )  # fmt: skip


def _calls(path: Path, notebook: Any) -> Iterator[Problem]:
    """Each check of the notebook is called in it, once."""
    called = Counter(step.check for step in steps(notebook))
    for name in sorted(_own(path) - set(called)):
        yield Problem(
            name, f"{path.name} does not call it", "Its cell is gone, or its name is computed.",
            f'lab.check("{name}", …) on a line of its own, or remove the check.',
        )  # fmt: skip
    for name in [name for name, times in called.items() if times > 1]:
        yield Problem(name, f"{path.name} calls it more than once", "A cell was copied.", "Keep one of them.")


def _arguments(released: Any) -> Iterator[Problem]:
    """Each check is handed all that it takes, and nothing else."""
    for name, given in sources(released).items():
        check = checks.get(name)
        if set(given) != {*check.reads, *check.takes}:
            takes = ", ".join(f"{word}=…" for word in check.takes)
            yield Problem(
                name, f"is handed {', '.join(given) or 'nothing'}", "The check's parameters changed.",
                f"lab.check({name!r}, {takes})",
            )  # fmt: skip


def _beyond(path: Path, released: Any) -> Iterator[Problem]:
    for verb in asked.beyond(released):
        yield Problem(
            path.stem, f"a graded run has no {verb}", "labkit grade carries out what it knows to be safe.",
            "Do without it, or give it a record in labkit_grading/verbs/table.py, and a rule.",
        )  # fmt: skip


def _declared(path: Path) -> Iterator[Problem]:
    """What is declared to be left to do are checks of this notebook."""
    if path.stem not in OPEN:
        yield Problem(
            path.stem, f"{FILE.name} does not name it", "The notebook is new, or was renamed.",
            f'Add "{path.stem}" = […]: its checks that fail untouched.',
        )  # fmt: skip
    for name in sorted(OPEN.get(path.stem, frozenset()) - set(checks.CHECKS)):
        yield Problem(
            name, f"{FILE.name} names it, and there is no such check", "It was renamed.", f"Fix {FILE.name}."
        )
