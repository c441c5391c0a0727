"""Whether a recording shows what it seems to show: who scaled, and whether the queue was there at all.

A recording is the grader's own, but a student's objects were in it: a pod can report any queue, and a
Deployment can be scaled by hand. Each proof says what does not fit; empty if everything does. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from course.capstone import is_the_day
from labkit.evidence.timeline import Timeline
from labkit.load.results import LoadResult
from labkit.metrics.series import Series
from labkit_grading.judging.bundle import Observation, Stranger, Write
from labkit_grading.judging.strangers import beside

BY_HAND = 3.0  # real seconds between the controller's write and the look that sees it
SLACK = 5.0  # requests: the queue and the load are looked at at slightly different moments
APART = 5.0  # real seconds: a load begins and ends a little outside of what is seen of it
WINDOW = 30.0  # lab seconds around a scrape: what was in flight then
IN_FLIGHT = "in flight"
SEED = 0
"""Of every graded run: all students get the same requests."""
ON_THE_DAY = frozenset({"10.capstone", "10.cost"})
OTHER_DAY = "the load was not the notebook's day: other requests, or for other numbers of tokens"

RECORDED = "llm-inference-service"  # the Deployment of every recording that a cell of the course makes


def doubts(one: Observation, writes: Sequence[Write], strangers: Sequence[Stranger] = ()) -> tuple[str, ...]:
    """Everything that speaks against the recordings of a check."""
    runs = [value for value in one.evidence.values() if isinstance(value, Timeline)]
    loads = [value for value in one.evidence.values() if isinstance(value, LoadResult)]
    other = [OTHER_DAY] * any(one.check in ON_THE_DAY and not is_the_day(load, SEED) for load in loads)
    if one.check in ON_THE_DAY:
        other += [doubt for run in runs for load in loads for doubt in apart(run, load)]
    found = [doubt for run in runs for doubt in (*posing(run, writes), *propped(run), *faked_queue(run))]
    return (*one.unlike, *found, *other, *beside(one, strangers))


def apart(run: Timeline, load: LoadResult) -> list[str]:
    """A load outside of the recording that it is judged with: nobody saw what carried it."""
    if not run.began or not load.rows:
        return []
    ended, over = run.began + run.end() / run.clock, load.started + load.seconds / load.clock
    if run.began <= load.started + APART and ended >= over - APART:
        return []
    return [
        f"the recording ({ended - run.began:.0f} s) does not cover its load ({over - load.started:.0f} s)"
    ]


def posing(run: Timeline, writes: Iterable[Write]) -> list[str]:
    """Each rise of `desired` that the HPA's controller did not write: a person scaled by hand."""
    own = list(writes)
    return [
        f"{told}, and it was not the HPA that wrote this"
        for at, after, told in _rises(run)
        if not any(_same(one, run.began + at / run.clock, after) for one in own)
    ]


def _rises(run: Timeline) -> Iterator[tuple[float, float, str]]:
    """Each rise of `desired`: its lab second, the replicas after it, and both in words."""
    for (_, before), (at, after) in pairwise(run.one("desired").steps()):
        if after > before:
            yield at, after, f"replicas went from {before:g} to {after:g} at lab second {at:.0f}"


def _same(one: Write, at: float, replicas: float) -> bool:
    return (one.name, one.replicas) == (RECORDED, replicas) and -1.0 <= at - one.at <= BY_HAND


def propped(run: Timeline) -> list[str]:
    """Each rise of `desired` that `minReplicas` explains: the HPA needs no queue for that."""
    found, floor = [], run.one("minimum")
    for at, after, told in _rises(run):
        lately = [value for t, value in floor.points if 0 <= at - t <= BY_HAND * run.clock]
        least = max([*lately, floor.at(at) or 0.0])
        if after <= least:
            found.append(f"{told}, and minReplicas was {least:g}: that needed no queue")
    return found


def in_flight(loads: Iterable[LoadResult], run: Timeline) -> Series:
    """How many requests the grader's own load generators had open, in the recording's lab seconds."""
    changes: list[tuple[float, int]] = []
    for load in loads:
        shift = (load.started - run.began) * load.clock
        sent = [row for row in load.rows if row.outcome != "not_sent"]
        changes += [(row.sent + shift, 1) for row in sent] + [(row.end + shift, -1) for row in sent]
    points, open_now = [], 0
    for at, change in sorted(changes):
        open_now += change
        points.append((at, float(open_now)))
    return Series(IN_FLIGHT, "requests", tuple(points))


def faked_queue(run: Timeline) -> list[str]:
    """The first moment at which more requests are reported waiting than were in flight at all."""
    queue, sent = run.total("queue"), run.one(IN_FLIGHT)
    if not sent.points:
        return []
    for at, waiting in queue.points:
        near = [value for t, value in sent.points if at - WINDOW <= t <= at + WINDOW]
        most = max([*near, sent.at(at - WINDOW) or 0.0])
        if waiting > most + SLACK:
            said = f"{waiting:.0f} requests were reported as waiting at lab second {at:.0f}"
            return [f"{said}, but at most {most:.0f} were in flight"]
    return []
