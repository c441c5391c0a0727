"""Validates a notebook on a running lab: with solutions all points, untouched exactly the declared ones.

Runs as `labkit notebooks run` does, each in a kernel of its own. Refuses to call a notebook wrong where the
machine was too busy for a verdict: that is told as what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from course.untouched import FILE, OPEN
from labkit.evidence import Verdict
from labkit.lab import connect
from labkit.notebooks.record import Record
from labkit.notebooks.run import Plan, Progress, quiet, run
from labkit.view.notebook import shown_to
from labkit_grading.judging.rubric import Rubric
from tests.course import on_lab
from tests.course.findings import Problem, Scored, points


@dataclass(frozen=True)
class Tell:
    """Where progress goes: of a notebook's cells, and in lines."""

    cells: Progress = quiet
    line: Callable[[str], object] = print


def scores(path: Path, plan: Plan, rubric: Rubric, tell: Tell) -> Iterator[Scored]:
    """With solutions, untouched, and with mutants of its solutions applied; one after the other."""
    yield solved(play(path, plan, "solutions", tell.cells), rubric)
    yield untouched(play(path, plan, "exercises", tell.cells), rubric)
    yield mutants(path.stem[:2], plan, tell.line)


def play(path: Path, plan: Plan, answers: str, progress: Progress = quiet) -> Record:
    """Run one notebook with `solutions` or as it is with its `exercises`."""
    own = replace(
        plan,
        notebooks=(path,),
        out=plan.out / answers,
        parameters={**plan.parameters, "ANSWERS": answers},
    )
    return run(own, progress)[0]


def solved(record: Record, rubric: Rubric) -> Scored:
    """What the solutions earn, and each check that they do not hold."""
    there = {verdict.id: verdict for verdict in record.verdicts}
    problems = [*_ended(record)]
    for name in rubric.checks:
        verdict = there.get(name)
        if verdict is None:
            problems.append(_unreached(name))
        elif verdict.inconclusive:
            problems.append(_unjudged(verdict))
        elif not verdict.passed:
            problems.append(
                Problem(
                    name,
                    f"fails with its solution: {verdict.observed}",
                    f"Expected: {verdict.expected}. The solution, the check, or the lab has changed.",
                    verdict.hint,
                )
            )
    return Scored(points(record.verdicts, rubric), rubric.most, problems)


def untouched(record: Record, rubric: Rubric) -> Scored:
    """What nobody's work earns, against what is declared; `of` is the declared score."""
    left = OPEN.get(record.name, frozenset())
    declared = sum(worth.points for name, worth in rubric.checks.items() if name not in left)
    problems = [*_ended(record)]
    for verdict in record.verdicts:
        if verdict.inconclusive:
            problems.append(_unjudged(verdict))
        elif verdict.passed and verdict.id in left:
            problems.append(
                Problem(
                    verdict.id,
                    f"passes although nothing was done: {verdict.observed}",
                    "The stub gives the answer away, or the check can't fail here.",
                    f"Empty the stub, make the check stricter, or take it out of {FILE.name}.",
                )
            )
        elif not verdict.passed and verdict.id not in left:
            problems.append(
                Problem(
                    verdict.id,
                    f"fails although it needs no answer: {verdict.observed}",
                    "It hangs on an exercise that is still open, or the lab did not do what the cell says.",
                    f"Let the cell do it itself, or declare the check in {FILE.name}.",
                )
            )
    return Scored(points(record.verdicts, rubric), declared, problems)


def mutants(number: str, plan: Plan, tell: Callable[[str], object]) -> Scored:
    """How many mutants of a notebook are applied on the lab, and for how many just their own check fails.

    None on other providers than `embedded`: they need its registry and the names of its nodes.
    """
    tried = on_lab.of_notebook(number) if plan.parameters["PROVIDER"] == "embedded" else []
    found: list[Problem] = []
    caught = 0
    with shown_to(lambda _: None):
        lab = connect(provider=plan.parameters["PROVIDER"], clock=plan.parameters["CLOCK"], seed=0)
        for mutant in tried:
            tell(f"{mutant.check}: its mutant on the lab")
            wrong = on_lab.problems(lab, mutant)
            caught += not wrong
            found += wrong
    return Scored(caught, len(tried), found)


def _ended(record: Record) -> Iterator[Problem]:
    if record.error:
        yield Problem(
            record.name, f"a cell raised: {record.error}", "The lab is not what it expects.",
            f"labkit notebooks run {record.name[:2]}, and open the page under out/.",
        )  # fmt: skip


def _unreached(name: str) -> Problem:
    return Problem(name, "was not reached", "A cell before it raised.", "Fix that cell first.")


def _unjudged(verdict: Verdict) -> Problem:
    return Problem(
        verdict.id, f"could not be judged: {verdict.observed}", "The machine was too busy.", "Run it again."
    )
