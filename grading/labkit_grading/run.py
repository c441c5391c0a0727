"""Runs a class: as many students at a time as the machine can handle, with one file of evidence for each.

A student with signed evidence for exactly the same files is not run again, so a killed run resumes where it
stopped, and nothing happens twice. One bad submission never affects another student.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import BadInput
from labkit.notebooks import needs
from labkit_grading import capacity, tenancy
from labkit_grading.crew import Result, Workers
from labkit_grading.judging.bundle import SUFFIX, Bundle, load, store
from labkit_grading.report.write import EVIDENCE
from labkit_grading.room import WORK, Room
from labkit_grading.sites.premises import Premises
from labkit_grading.sites.site import Site
from labkit_grading.student import Job, digest
from labkit_grading.submissions.collect import summary, write_report
from labkit_grading.submissions.handed_in import HandedIn, clean
from labkit_grading.submissions.intake import Intake
from labkit_grading.submissions.released import Assignment
from labkit_grading.verbs import asked
from localcluster.toolchain import ladder, parts

Tell = Callable[[str], None]
CASES = "cases of functions"
"""What the key's secret is for."""


@dataclass(frozen=True)
class Tally:
    """Where the workers' time went, in real seconds: total, starting clusters, running notebooks."""

    workers: int = 0
    there: float = 0.0
    starting: float = 0.0
    ran: float = 0.0


def run(
    room: Room, intake: Intake, wanted: Assignment, *, tell: Tell, workers: int | None = None
) -> Generator[Bundle, None, Tally]:
    """Yield each student's evidence when it is ready, those of an earlier run first; close to stop early."""
    (room.report / EVIDENCE).mkdir(parents=True, exist_ok=True)
    premises = Premises(room.report / WORK, room.site)
    with premises.claimed():
        handed = [clean(one, wanted) for one in intake.submissions]
        write_report(room.report, map(summary, handed), intake.strays)
        known = {one.folder: _known(room, one, wanted) for one in handed}
        yield from (bundle for bundle in known.values() if bundle)
        left = [one for one in handed if known[one.folder] is None]
        if not left:
            return Tally()
        crew = _crew(room.site, wanted, len(left), workers)
        tell(f"{len(left)} of {len(handed)} students to run")
        tell(crew.why)
        if room.site.own:
            _fetch_programs(wanted)
        secret = room.key.secret(CASES)
        job = Job(wanted, room.edition, room.report / WORK, room.patience, room.site, secret)
        with (
            tenancy.held(room.site, room.report, tell) as still,
            Workers(job, premises, crew.workers) as at_work,
        ):
            ran = yield from _signed(room, still(at_work.run(left)), left, tell)
        return Tally(crew.workers, at_work.there, at_work.starting, ran)


def _crew(site: Site, wanted: Assignment, students: int, workers: int | None) -> capacity.Crew:
    if not site.own:
        return capacity.shared(site, asked=workers)
    return capacity.chosen(wanted.notebooks.values(), students, asked=workers)


def _fetch_programs(wanted: Assignment) -> None:
    """Once here instead of in each worker, and KWOK now, since building it would exceed a cell's limit.

    So are the programs of the optional parts of a lab that notebooks need.
    """
    ladder.ensure()
    for name in {name for notebook in wanted.notebooks.values() for name in needs.of(notebook)}:
        parts.get(name)
    if any("nodes.kwok" in asked.verbs(notebook) for notebook in wanted.notebooks.values()):
        ladder.ensure(["kwok"])


def _signed(
    room: Room, results: Iterable[Result], left: Sequence[HandedIn], tell: Tell
) -> Generator[Bundle, None, float]:
    """Yield evidence as it comes; return the seconds that all notebooks ran."""
    began, ran = time.monotonic(), 0.0
    for number, result in enumerate(results, 1):
        path = store(result.body, _evidence(room, result.student), room.key)
        bundle = load(path, room.key)
        ran += sum(one.seconds for one in bundle.ran)
        yield bundle
        rest = (time.monotonic() - began) / number * (len(left) - number)
        tell(f"{number} of {len(left)}: {result.student.student}; about {_roughly(rest)} left")
    return ran


def _evidence(room: Room, handed: HandedIn) -> Path:
    return room.report / EVIDENCE / f"{handed.folder}{SUFFIX}"


def _known(room: Room, handed: HandedIn, wanted: Assignment) -> Bundle | None:
    path = _evidence(room, handed)
    try:
        bundle = load(path, room.key) if path.exists() else None
    except BadInput:
        return None
    whole = bundle is not None and not any(one.ours for one in bundle.ran)
    return bundle if bundle and whole and bundle.of == digest(handed, wanted, room.site) else None


def _roughly(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
