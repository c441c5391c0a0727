"""How fast a class is graded, beside plain papermill running the same notebooks one after the other.

papermill has no sandbox, so hostile submissions are not given to it: each is reckoned as a perfect one. Of
each other kind one is run, and weighed by how many there are.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import papermill
from nbclient.exceptions import CellTimeoutError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from labkit_grading.judging.bundle import Bundle
from labkit_grading.judging.rubric import of
from labkit_grading.judging.seal import key
from labkit_grading.judging.sheet import grade
from labkit_grading.report.write import Growing
from labkit_grading.room import Room, furnish
from labkit_grading.run import Tally, run
from labkit_grading.sites.site import CLOCK
from labkit_grading.sitting import Patience
from labkit_grading.student import parameters
from labkit_grading.submissions.intake import take_in
from localcluster.embedded.provider import Embedded
from localcluster.provider import Spec
from tests.bench.figures import Figure, percentile
from tests.bench.submissions import CHECKS, NOTEBOOKS, Student, assignment, generate
from tests.grading.live.grading_quiz import ROOT

CELL, NOTEBOOK = 30, 60
"""Real seconds that a cell and a notebook may take: what never ends costs as much."""
RUBRIC = of({"notebooks": ["02", "04", "05"], "points": 0, "checks": dict.fromkeys(CHECKS, 1)})


@dataclass(frozen=True)
class Graded:
    """A class: evidence by student, seconds by student, and where the time went."""

    bundles: dict[str, Bundle]
    took: list[float]
    elapsed: float
    tally: Tally


def figures(place: Path, count: int) -> list[Figure]:
    """Grade `count` generated students, then run a sample with papermill."""
    students = generate(count)
    for student in students:
        student.hand_in(place / "class")
    graded = _grade(place)
    wrong = [one.name for one in students if not one.deserves(_passed(graded.bundles[one.name]))]
    plain, sampled = _papermill(place, students)
    mix = ", ".join(f"{number} {kind}" for kind, number in Counter(one.kind for one in students).items())
    rates = f"{60 * count / graded.elapsed:.1f} students/min against {60 * count / plain:.1f}"
    tally = graded.tally
    over = 100 * (tally.there / tally.ran - 1)
    crew = f"{tally.workers} workers; their clusters' starts are {100 * tally.starting / tally.ran:.1f} of it"
    limit = f"endless ones take {CELL} s each"
    return [
        Figure("a class, over plain papermill", graded.elapsed / plain, "×", 0.4, note=f"{rates}; {sampled}"),
        Figure("overhead over the notebooks' own time", over, "%", 10, note=crew),
        Figure("a student, p50", percentile(graded.took, 0.5), "s", 45, count, mix),
        Figure("a student, p95", percentile(graded.took, 0.95), "s", 45 + CELL, count, limit),
        Figure("students with other points than they earned", len(wrong), "", 0, count, ", ".join(wrong)),
    ]


def _grade(place: Path) -> Graded:
    made = furnish(ROOT, place / "report", key(place / "key.pem"), rubric=None, notebooks=list(NOTEBOOKS))
    room = Room(made.edition, made.report, made.key, Patience(cell=CELL, notebook=NOTEBOOK))
    bundles: dict[str, Bundle] = {}
    took: list[float] = []
    began = time.monotonic()
    report = Growing(room.report, room.key)
    running = run(room, take_in(place / "class"), assignment(), tell=print)
    while True:
        try:
            bundle = next(running)
        except StopIteration as end:
            return Graded(bundles, took, time.monotonic() - began, end.value)
        took.append(time.time() - bundle.graded)
        bundles[bundle.student] = bundle
        report.add(bundle)


def _passed(bundle: Bundle) -> set[str]:
    return {line.id for line in grade(bundle, RUBRIC).lines if line.points}


def _papermill(place: Path, students: Sequence[Student]) -> tuple[float, str]:
    """Seconds that the whole class would take, from one student of each kind that is safe to run."""
    samples = {one.kind: one for one in students if one.kind != "hostile"}
    lab = Embedded("papermill")
    os.environ["LABKIT_LAB"] = "papermill"
    lab.up(Spec(name="papermill", clock=CLOCK))
    try:
        took = {kind: _one(place / "papermill" / kind, one) for kind, one in samples.items()}
    finally:
        lab.down()
    perfect = took.get("perfect", max(took.values()))
    told = ", ".join(f"{kind} {seconds:.0f} s" for kind, seconds in took.items())
    return sum(took.get(one.kind, perfect) for one in students), f"papermill, of each kind one: {told}"


def _one(course: Path, student: Student) -> float:
    """All notebooks of one student, in a copy of the course with their files."""
    shutil.copytree(ROOT / "manifests", course / "manifests")
    (course / "cluster").symlink_to(ROOT / "cluster")
    student.hand_in(course.parent / "handed")
    shutil.copytree(course.parent / "handed" / student.name, course, dirs_exist_ok=True)
    began = time.monotonic()
    for name in NOTEBOOKS:
        _execute(course, course / "notebooks" / f"{name}.ipynb")
    return time.monotonic() - began


def _execute(course: Path, notebook: Path) -> None:
    sockets = {"KernelManager": {"transport": "ipc", "ip": f"{course.parent}/kernel"}}  # ports would race
    try:
        papermill.execute_notebook(
            notebook,
            course / f"executed-{notebook.name}",
            parameters=parameters(),
            kernel_name="python3",
            cwd=course,
            execution_timeout=CELL,
            progress_bar=False,
            config=Config(sockets),
        )
    except (PapermillExecutionError, CellTimeoutError):
        return  # a wrong or an endless one: its time is what is asked for
