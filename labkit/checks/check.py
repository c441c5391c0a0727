"""A check of the course: which objects it reads, which answers it takes, and the pure function that judges.

A judge gets what was observed and returns a `Finding`; it never talks to a cluster. `run` turns that into a
`Verdict` whatever the learner handed in: an answer of the wrong type is a wrong answer, not a traceback.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.evidence import Verdict, could_not_run

UNANSWERED = "nothing yet: `...` still stands where your answer belongs"


@dataclass(frozen=True)
class Finding:
    """What a judge saw; `Check.run` adds the check's name, expectation and hint."""

    passed: bool
    observed: str
    hint: str = ""
    """Replaces the check's own hint where the judge knows better what went wrong."""
    inconclusive: bool = False


@dataclass(frozen=True)
class Check:
    """One check: `reads` names the objects (or `kind` lists) that it is handed under each parameter."""

    id: str
    expected: str
    hint: str
    judge: Callable[..., Finding]
    reads: Mapping[str, str] = field(default_factory=dict)
    settles: bool = False
    """What it reads is a controller's work, which may take a sync or two: look again before saying no."""
    rows: tuple[int, ...] = ()
    """The rows of the lesson (`labkit.checks.lesson`) that it holds the learner to."""

    @property
    def notebook(self) -> str:
        """The number of the notebook that it belongs to: `05`."""
        return self.id.partition(".")[0]

    @property
    def takes(self) -> tuple[str, ...]:
        """What it is handed beside what it reads: answers and recordings, by name."""
        return tuple(name for name in inspect.signature(self.judge).parameters if name not in self.reads)

    @property
    def kind(self) -> str:
        """`state` of objects alone, `behaviour` as it was recorded, or `understanding`: an answer is judged.

        An answer may be anything, so its parameter is annotated `Any`; what labkit recorded has a type.
        """
        if self.answers:
            return "understanding"
        return "behaviour" if self.takes else "state"

    @property
    def answers(self) -> tuple[str, ...]:
        """Which of what it takes may be the learner's answer."""
        parameters = inspect.signature(self.judge, eval_str=True).parameters
        return tuple(name for name in self.takes if parameters[name].annotation is Any)

    def run(self, evidence: Mapping[str, Any]) -> Verdict:
        """Judge the evidence: objects that were read, and answers by name."""
        wanted = inspect.signature(self.judge)
        try:
            bound = wanted.bind(**evidence)
        except TypeError as error:
            takes = ", ".join(f"{name}=…" for name in self.takes)
            hint = f"Call it as lab.check({self.id!r}{', ' if takes else ''}{takes})."
            return could_not_run(self.id, f"the check was called with other answers: {error}", hint=hint)
        if any(_open(value) for value in bound.arguments.values()):
            return Verdict(self.id, passed=False, expected=self.expected, observed=UNANSWERED, hint=self.hint)
        found = self.judge(**evidence)
        return Verdict(
            self.id,
            passed=found.passed and not found.inconclusive,
            expected=self.expected,
            observed=found.observed,
            hint="" if found.passed and not found.inconclusive else found.hint or self.hint,
            inconclusive=found.inconclusive,
        )


def _open(answer: Any) -> bool:
    """Whether the placeholder still stands, for the whole answer or for one part of it."""
    return answer is ... or (isinstance(answer, (list, tuple)) and any(part is ... for part in answer))


def called(function: Callable[..., Any], *given: Any) -> Any:
    """What a learner's function returns; where it raises, that in words."""
    try:
        return function(*given)
    except Exception as error:  # noqa: BLE001 - somebody else's code: whatever it raises is its answer
        return f"{type(error).__name__}: {error}"


def number(answer: Any) -> float | None:
    """An answer as a number; None where it is none (text such as "5" counts, a bool doesn't)."""
    if isinstance(answer, bool):
        return None
    try:
        return float(answer)
    except (TypeError, ValueError, OverflowError):
        return None


def numbers(answer: Any) -> list[float] | None:
    """An answer as a list of numbers; None where one of them is none."""
    if isinstance(answer, (str, bytes, Mapping)) or not hasattr(answer, "__iter__"):
        return None
    found = [number(part) for part in answer]
    return None if any(value is None for value in found) else [v for v in found if v is not None]


def dig(thing: Any, path: str) -> Any:
    """What stands at a path of a Kubernetes object (`spec.metrics.0.type`); None where nothing is."""
    for key in path.split("."):
        if isinstance(thing, Mapping):
            thing = thing.get(key)
        elif isinstance(thing, (list, tuple)) and key.isdigit() and int(key) < len(thing):
            thing = thing[int(key)]
        else:
            return None
    return thing


def differences(thing: Any, wanted: Mapping[str, Any]) -> list[str]:
    """Each path of `wanted` at which the object says something else, in words."""
    return [
        f"{path} is {dig(thing, path)!r} instead of {value!r}"
        for path, value in wanted.items()
        if dig(thing, path) != value
    ]


def matches(thing: Any, wanted: Mapping[str, Any], *, name: str) -> Finding:
    """Finding for "the object exists and says all of this"."""
    if not thing:
        return Finding(passed=False, observed=f"there is no {name}", hint=f"lab.apply(…) creates {name}.")
    wrong = differences(thing, wanted)
    return Finding(passed=not wrong, observed="; ".join(wrong) or f"{name} says all of this")
