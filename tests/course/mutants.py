"""What the checks of a notebook say where one of them is handed a mutant: evidence with one thing wrong.

The others see of it what they see in the notebook: an object that both read at the same moment, or the very
recording that both are handed. So a mutant costs its own points, or it is named by others, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labkit import checks
from labkit.checks import Check
from labkit.evidence import Verdict
from tests.course.steps import Step, steps

Given = Mapping[str, Any]
"""Evidence: what a check is handed, by name."""
Case = tuple[str, Given]
"""A check's name, and evidence for it."""


@dataclass(frozen=True)
class Right:
    """Evidence with which each check of one notebook passes, and where the notebook calls it."""

    given: Mapping[str, Given]
    places: Mapping[str, Step]

    @classmethod
    def of(cls, passing: Sequence[Case], notebook: Any) -> Right:
        """The first evidence that is right for each check."""
        return cls(dict(reversed(passing)), {step.check: step for step in steps(notebook)})

    def verdicts(self, check: str, mutant: Given) -> dict[str, Verdict]:
        """What each check says, where the evidence of one is a mutant."""
        here, first = checks.get(check), self.given[check]
        wrong = {n: v for n, v in mutant.items() if n not in first or first[n] is not v}
        sources = {_source(here, name, self.places.get(check)): value for name, value in wrong.items()}
        found = {check: here.run(mutant)}
        for other in (checks.get(name) for name in self.given if name != check):
            place = self.places.get(other.id)
            given = {n: sources.get(_source(other, n, place), v) for n, v in self.given[other.id].items()}
            found[other.id] = other.run(given)
        return found

    def named_by(self, check: str, mutant: Given) -> list[str]:
        """The other checks of the notebook that call this mutant of `check` wrong."""
        found = self.verdicts(check, mutant)
        return [name for name, verdict in found.items() if name != check and verdict.state == "failed"]


def _source(check: Check, name: str, step: Step | None) -> tuple[str, ...]:
    """Where a check's evidence comes from: equal for two checks that look at the same thing."""
    if step is None:
        return (check.id, name)
    if name in check.reads:
        return (check.reads[name], str(step.changes))
    return (step.given.get(name, check.id + name),)
