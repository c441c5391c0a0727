"""Validates the checks of a notebook on stored evidence: no cluster, milliseconds.

What is right has to earn all points; a mutant has to lose those of its check, and for each check there has to
be one that loses no others. Refuses to say anything about the lab: a solution may still be wrong there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit import checks
from labkit.evidence import Verdict
from labkit.notebooks.strip import read
from labkit_grading.judging.rubric import Rubric
from tests.course import examples
from tests.course.findings import Problem, Scored, points
from tests.course.mutants import Case, Right

EXAMPLES = "tests/course/examples"


@dataclass(frozen=True)
class Mutants:
    """How many there are, how many their check catches; how many checks have one that no other names."""

    all: int
    caught: int
    alone: int
    checks: int
    problems: Sequence[Problem] = ()

    def __str__(self) -> str:
        return f"{self.caught} of {self.all}"


def right(path: Path, rubric: Rubric) -> Scored:
    """What stored evidence earns that is right."""
    cases = examples.right(path.stem[:2])
    verdicts = [(case, checks.get(case[0]).run(case[1])) for case in cases]
    wrong = [
        Problem(
            name,
            f"right evidence is {verdict.state}: {verdict.observed}",
            "The check has changed, or the evidence has not.",
            f"Fix the check, or PASSING in {EXAMPLES}.",
        )
        for (name, _), verdict in verdicts
        if not verdict.passed
    ]
    missing = [_without_example(name, "PASSING") for name in rubric.checks if name not in dict(cases)]
    first = {name: verdict for (name, _), verdict in reversed(verdicts)}
    return Scored(points(first.values(), rubric), rubric.most, (*wrong, *missing))


def mutants(path: Path, rubric: Rubric) -> Mutants:
    """What each mutant loses."""
    number = path.stem[:2]
    evidence = Right.of(examples.right(number), read(path))
    known = [
        case for case in examples.wrong(number) if case[0] in evidence.given and case[0] in rubric.checks
    ]
    judged = [(case, evidence.verdicts(*case)) for case in known]
    missed = [(case, found) for case, found in judged if found[case[0]].state != "failed"]
    named = dict.fromkeys(name for name, _ in known)
    alone = {name for (name, _), found in judged if _costs_only(name, found, evidence, rubric)}
    problems = [
        *(_not_caught(case, found[case[0]].state) for case, found in missed),
        *(_never_alone(name) for name in named if name not in alone),
        *(_without_example(name, "MUTANTS") for name in rubric.checks if name not in named),
    ]
    return Mutants(len(known), len(known) - len(missed), len(alone), len(rubric.checks), problems)


def _costs_only(check: str, found: Mapping[str, Verdict], evidence: Right, rubric: Rubric) -> bool:
    """Whether a mutant loses the points of its own check, and of no other."""
    failed = [name for name, verdict in found.items() if verdict.state == "failed"]
    whole = points((checks.get(name).run(given) for name, given in evidence.given.items()), rubric)
    return failed == [check] and whole - points(found.values(), rubric) <= rubric.checks[check].points


def _without_example(name: str, where: str) -> Problem:
    return Problem(name, f"no evidence in {where}", "The check is new.", f"Add some in {EXAMPLES}.")


def _not_caught(case: Case, state: str) -> Problem:
    name, given = case
    told = ", ".join(f"{key}={value!r:.60}" for key, value in given.items())
    return Problem(
        name, f"a mutant is {state}: {told}", "The check lets it pass.", "Make the check stricter."
    )


def _never_alone(name: str) -> Problem:
    return Problem(
        name,
        "each of its mutants costs the points of another check, too",
        "Two checks judge the same thing: a learner loses twice for one mistake.",
        f"Separate the checks, or add a mutant that only this one names in {EXAMPLES}.",
    )
