"""What a grader saw of a student in notebook 05: each check's evidence, as its own tests have it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from labkit import checks
from labkit.checks.tried import Case, tried
from labkit.evidence import Series, Timeline
from labkit_grading.judging.bundle import Argument, Bundle, Observation, Ran, Write
from labkit_grading.judging.rubric import Rubric, of
from labkit_grading.judging.sources import Source, sources
from tests.course.examples.hpa_queue import PASSING
from tests.grading.unit.grading_class import QUEUE, released

BEGAN = 1_790_000_000.0
RUBRIC = of({"title": "week 3", "notebooks": ["05"]})
OURS = {"hops"}
"""Put together by cells of the course in the student's process: nobody else can vouch for it."""


def bundle(student: str = "ada", change: Mapping[str, Mapping[str, Any]] | None = None) -> Bundle:
    """All right, but for some checks' evidence."""
    found = sources(released().notebooks[QUEUE])
    given = {name: {**evidence, **(change or {}).get(name, {})} for name, evidence in PASSING}
    seen = [observation(name, evidence, found[name]) for name, evidence in given.items()]
    writes = [
        Write(BEGAN + at / 15 - 0.1, "llm-inference-service", int(to))
        for steps in ([(105, 4), (105, 6), (120, 8), (340, 10)],)
        for at, to in steps
    ]
    return Bundle(student, student, BEGAN, tuple(seen), tuple(writes), (Ran(QUEUE, 70.0),))


def observation(name: str, evidence: Mapping[str, Any], where: Mapping[str, Source]) -> Observation:
    given = {
        key: Argument(where[key], recorded(value, checks.get(name).cases.get(key, ())), key not in OURS)
        for key, value in evidence.items()
    }
    return Observation(name, BEGAN + 60, name.replace(".", "-"), given)


def recorded(value: Any, cases: Sequence[Case] = ()) -> Any:
    """As the grader has it: recordings have a beginning, functions are called and written down."""
    if isinstance(value, Timeline):
        flight = Series("in flight", "requests", ((0, 0), (80, 70), (490, 70), (520, 0)))
        return replace(value, began=BEGAN).with_series((flight,))
    return tried(value, cases) if callable(value) else value


def rubric(**changes: Any) -> Rubric:
    return of({"title": "week 3", "notebooks": ["05"], **changes})
