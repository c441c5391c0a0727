"""Pages for people: feedback for each student, and the class for the instructor.

One self-contained file each, without scripts. Everything that came from a submission is escaped by jinja2,
and the page's content policy blocks what might still get through.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from labkit.evidence.timeline import Timeline
from labkit.view import plot
from labkit.view.picture import png
from labkit_grading.judging.bundle import Bundle
from labkit_grading.judging.codec import encode
from labkit_grading.judging.rubric import Rubric
from labkit_grading.judging.sheet import Sheet
from labkit_grading.report.overview import Overview
from labkit_grading.report.questions import left, questions
from labkit_grading.submissions.remark import QUOTED
from localcluster.stored import write_atomically

_PAGES = Environment(
    loader=PackageLoader("labkit_grading.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)


@dataclass(frozen=True)
class Drawn:
    """A picture for a page, and its alternative text."""

    png: str
    words: str


@dataclass(frozen=True)
class Aside:
    """What no sheet says: files that belong to no student, students whose time is not known."""

    strays: Sequence[str] = ()
    untimed: Sequence[str] = ()


def feedback(sheet: Sheet, rubric: Rubric, drawn: tuple[Drawn, ...] = ()) -> str:
    """One student's page."""
    return _PAGES.get_template("feedback.html").render(sheet=sheet, rubric=rubric, drawn=drawn, quoted=QUOTED)


def the_class(overview: Overview, rubric: Rubric, failed: Mapping[str, str], aside: Aside = Aside()) -> str:
    """The instructor's page."""
    most = max([one.count for one in overview.bins], default=0)
    return _PAGES.get_template("class.html").render(
        overview=overview, rubric=rubric, failed=failed, aside=aside, tallest=max(most, 1)
    )


def by_hand(sheets: Sequence[Sheet], rubric: Rubric) -> str:
    """The page of what a person grades."""
    every = questions(sheets)
    return _PAGES.get_template("questions.html").render(rubric=rubric, questions=every, left=left(every))


def draw(bundle: Bundle, into: Path) -> tuple[Drawn, ...]:
    """The grader's own recordings as plots, drawn once and cached by their contents."""
    runs = [value for one in bundle.observations for value in one.evidence.values()]
    different = {_digest(run): run for run in runs if isinstance(run, Timeline)}
    return tuple(_drawn(run, into / f"plot-{digest}.png") for digest, run in different.items())


def _digest(run: Timeline) -> str:
    return hashlib.sha256(json.dumps(encode(run)).encode()).hexdigest()[:12]


def _drawn(run: Timeline, path: Path) -> Drawn:
    words = path.with_suffix(".txt")
    if not words.exists():  # written last
        shown = plot.picture(run, title="As the grader recorded it", target=5)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(shown.figure))
        write_atomically(words, shown.words, mode=0o644)
    return Drawn(base64.b64encode(path.read_bytes()).decode(), words.read_text())
