"""A check of the course: which objects it reads, which answers it takes, and the pure function that judges.

A judge gets what was observed and returns a `Finding`; it never talks to a cluster. `run` turns that into a
`Verdict`, whatever the learner passed: an answer of the wrong type is a wrong answer, not a traceback, and
evidence that is empty or not a recording can't be judged, so no check passes on a load or a recording that
never ran. A cell passes what it recorded; figures derived from it (such as the longest answer) are computed
here, so a grader need not trust anyone's word for them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, get_origin

from labkit.checks.tried import Case, tried
from labkit.errors import BadInput
from labkit.evidence import Verdict, could_not_run
from labkit.evidence.blank import Blank, blank
from labkit.evidence.verdict import RUN_AGAIN
from localcluster.api.objects import dig

UNANSWERED = "nothing yet: `...` is still in place of your answer"
PARTLY = "a part is missing: `...` is still in its place"

ABSENT = (
    "It was not created, or was deleted. Run the cell above that applies it; if that was refused, "
    "the cell's output says why."
)
AS_IT_IS = "Pass what the cells above recorded, unchanged."
NOT_SO = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a figure raises when a recording has unexpected contents."""


@dataclass(frozen=True)
class Finding:
    """What a judge saw; `Check.run` adds the check's name, expectation and hint."""

    passed: bool
    observed: str
    hint: str = ""
    """Replaces the check's own hint when the judge knows more precisely what went wrong."""
    inconclusive: bool = False


@dataclass(frozen=True)
class Figure:
    """A value that a check computes from recordings: `by` takes those that `of` names, in that order.

    `by` is pure, or reads only the course's files; it raises `BadInput` for a recording of the wrong run.
    """

    of: tuple[str, ...]
    by: Callable[..., Any]

    def of_these(self, handed: Mapping[str, Any]) -> bool:
        """Whether every recording that it needs is there."""
        return set(self.of) <= set(handed)

    def value(self, handed: Mapping[str, Any]) -> Any:
        """Compute it; `...` if a recording is still to be filled in, None if one is empty."""
        parts = [handed[name] for name in self.of]
        if any(part is ... for part in parts):
            return ...
        if any(map(blank, parts)):
            return None
        if odd := _odd(dict(zip(self.of, _kinds(self.by).values(), strict=True)), handed):
            raise BadInput(odd, fix=AS_IT_IS)
        try:
            return self.by(*parts)
        except NOT_SO as error:
            raise BadInput(f"{', '.join(self.of)} can't be judged: {error}", fix=AS_IT_IS) from error


@dataclass(frozen=True)
class Check:
    """One check, and where each parameter of its judge comes from.

    `reads` names those read from the cluster, as objects or as lists of a kind; `answers` those that the
    learner states; `figures` those computed from recordings. All others are recordings, which a grader takes
    only from its own run.
    """

    id: str
    expected: str
    hint: str
    judge: Callable[..., Finding]
    reads: Mapping[str, str] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    copying: bool | None = None
    """Of a check with answers: whether the lab shows the value (such as `lab.doctor` a broken hop), and
    reading it there is allowed. If not, it is worked out or known, and shown nowhere.
    """
    may_be_empty: tuple[str, ...] = ()
    """Recordings that the judge can judge even if they are empty."""
    settles: bool = False
    """What it reads is written by a controller, which may take a sync or two: look again before it fails."""
    rows: tuple[int, ...] = ()
    """The rows of the lesson (`course.lesson`) that it holds the learner to."""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    """Evidence that stores the figure itself can be judged again without its recordings."""
    cases: Mapping[str, Sequence[Case]] = field(default_factory=dict)
    """Answers that are functions, and what a learner's own lab tries them on: the judge gets a `Tried`."""

    def __post_init__(self) -> None:
        """Refuse names that the judge does not have, and a parameter with two sources."""
        parameters = set(inspect.signature(self.judge).parameters)
        for what, names in (
            ("reads", parameters),
            ("answers", parameters - set(self.reads)),
            ("may_be_empty", parameters - set(self.reads) - set(self.answers)),
            ("figures", parameters - set(self.reads) - set(self.answers)),
            ("cases", set(self.answers)),
        ):
            if odd := sorted(set(getattr(self, what)) - names):
                raise BadInput(
                    f"{self.id}: `{what}` names {', '.join(odd)}.",
                    cause=f"Its judge takes {', '.join(sorted(parameters)) or 'nothing'}.",
                    fix="Name parameters of the judge, each in one place only.",
                )
        for name, figure in self.figures.items():
            if len(figure.of) != len(inspect.signature(figure.by).parameters) or parameters & set(figure.of):
                raise BadInput(
                    f"{self.id}: the figure {name} is of {', '.join(figure.of) or 'nothing'}.",
                    cause="Its function takes other recordings, or the judge takes one of that name.",
                    fix="Name one recording for each parameter of the function.",
                )

    @property
    def notebook(self) -> str:
        """The number of the notebook that it belongs to: `05`."""
        return self.id.partition(".")[0]

    @property
    def takes(self) -> tuple[str, ...]:
        """The names of what it takes besides what it reads: answers and recordings."""
        own = [name for name in inspect.signature(self.judge).parameters if name not in self.reads]
        made = {name: figure.of for name, figure in self.figures.items()}
        return tuple(dict.fromkeys(part for name in own for part in made.get(name, (name,))))

    @property
    def kind(self) -> str:
        """What it judges: the `state` of objects, recorded `behaviour`, or `understanding` (an answer)."""
        if self.answers:
            return "understanding"
        return "behaviour" if self.takes else "state"

    @property
    def recordings(self) -> tuple[str, ...]:
        """The inputs that were recorded or come from the course, so that no learner's word is needed."""
        there = inspect.signature(self.judge).parameters
        return tuple(name for name in there if name not in self.reads and name not in self.answers)

    def figured(self, handed: Mapping[str, Any]) -> dict[str, Any]:
        """The judge's input: each figure replaces its recordings, unless it was passed under its own name.

        Raises `BadInput` for values that are not recordings, or recordings of the wrong run.
        """
        parts = {part for figure in self.figures.values() for part in figure.of}
        ready = {name: value for name, value in handed.items() if name not in parts}
        ready |= {name: self.figures[name].value(handed) for name in self._made(handed)}
        functions = {name: ready[name] for name in self.cases if callable(ready.get(name))}
        return ready | {name: tried(one, self.cases[name]) for name, one in functions.items()}

    def _made(self, handed: Mapping[str, Any]) -> list[str]:
        """The figures that are still missing but whose recordings are there."""
        return [
            name for name, figure in self.figures.items() if name not in handed and figure.of_these(handed)
        ]

    def run(self, evidence: Mapping[str, Any]) -> Verdict:
        """Judge the evidence: objects that were read, and answers and recordings by name."""
        wanted = inspect.signature(self.judge)
        try:
            ready = self.figured(evidence)
        except BadInput as error:
            return could_not_run(self.id, error.what, hint=error.fix)
        try:
            bound = wanted.bind(**ready)
        except TypeError as error:
            takes = ", ".join(f"{name}=…" for name in self.takes)
            hint = f"Call it as lab.check({self.id!r}{', ' if takes else ''}{takes})."
            return could_not_run(self.id, f"the check got the wrong arguments: {error}", hint=hint)
        if any(_open(value) for value in bound.arguments.values()):
            parts = [part for name in self.answers for part in _parts(bound.arguments[name])]
            seen = PARTLY if any(part is not ... for part in parts) else UNANSWERED
            return Verdict(self.id, passed=False, expected=self.expected, observed=seen, hint=self.hint)
        if missing := self._blank(evidence, ready):
            return self._nothing(missing)
        kinds = _kinds(self.judge)
        if odd := _odd({name: kinds[name] for name in self.recordings}, ready):
            return could_not_run(self.id, odd, hint=AS_IT_IS)
        found = self.judge(**ready)
        absent = "" if found.passed or found.inconclusive else self._absent(bound.arguments)
        if absent:
            found = replace(found, observed=f"there is no {absent}", hint=ABSENT)
        passed = found.passed and not found.inconclusive
        return Verdict(
            self.id,
            passed=passed,
            expected=self.expected,
            observed=found.observed,
            hint="" if passed else found.hint or (RUN_AGAIN if found.inconclusive else self.hint),
            inconclusive=found.inconclusive,
        )

    def _blank(self, handed: Mapping[str, Any], evidence: Mapping[str, Any]) -> Blank | None:
        """The first piece of evidence with nothing to judge: an empty recording, a cluster without nodes."""
        made = {name: self.figures[name].of for name in self._made(handed)}
        wanted = [name for name in self.recordings if name not in self.may_be_empty]
        parts = [blank(handed[part]) for name in wanted for part in made.get(name, ())]
        recorded = [blank(evidence[name]) for name in wanted]
        bare = [
            Blank("the cluster has no nodes", "`labkit status` shows whether it is running.")
            for name, what in self.reads.items()
            if what == "nodes" and not evidence[name]
        ]
        return next(filter(None, [*parts, *recorded, *bare]), None)

    def _nothing(self, missing: Blank) -> Verdict:
        observed = f"there is nothing to judge yet: {missing.why}"
        return Verdict(
            self.id,
            passed=False,
            expected=self.expected,
            observed=observed,
            hint=missing.hint,
            inconclusive=True,
        )

    def _absent(self, evidence: Mapping[str, Any]) -> str:
        """The single object that it reads, if that is missing."""
        return next((what for name, what in self.reads.items() if "/" in what and not evidence[name]), "")


def _kinds(function: Callable[..., Any]) -> dict[str, Any]:
    """The type of each parameter."""
    parameters = inspect.signature(function, eval_str=True).parameters
    return {name: parameter.annotation for name, parameter in parameters.items()}


def _odd(kinds: Mapping[str, Any], recordings: Mapping[str, Any]) -> str:
    """The first recording of the wrong type, in words."""
    for name, wanted in kinds.items():
        if not _is(recordings[name], wanted):
            return f"{name} is {type(recordings[name]).__name__}, not {inspect.formatannotation(wanted)}"
    return ""


def _is(value: Any, wanted: Any) -> bool:
    """Whether a recording has its parameter's type; its items are not looked at."""
    if wanted is inspect.Parameter.empty:
        return True
    if wanted in {int, float}:  # numpy's numbers count, too
        return isinstance(value, Real) and not isinstance(value, bool)
    if isinstance(value, str | bytes):  # not a sequence of texts or numbers
        return wanted is type(value)
    return isinstance(value, get_origin(wanted) or wanted)


def _open(answer: Any) -> bool:
    """Whether the placeholder `...` is still there, as the whole answer or as one part of it."""
    return any(part is ... for part in _parts(answer))


def _parts(answer: Any) -> Sequence[Any]:
    return answer if isinstance(answer, (list, tuple)) else (answer,)


def nothing_yet(missing: str, again: str) -> Finding:
    """Finding for evidence that is empty or was taken too early: what is missing, which step to rerun."""
    return Finding(passed=False, observed=f"nothing to judge yet: {missing}", hint=again, inconclusive=True)


def first_that_holds(*cases: tuple[bool, str]) -> str:
    """The hint of the first case that is true; empty if none is."""
    return next((hint for holds, hint in cases if holds), "")


def number(answer: Any) -> float | None:
    """An answer as a number, or None if it isn't one (text such as "5" counts, a bool doesn't)."""
    if isinstance(answer, bool):
        return None
    try:
        return float(answer)
    except (TypeError, ValueError, OverflowError):
        return None


def numbers(answer: Any) -> list[float] | None:
    """An answer as a list of numbers, or None if one item isn't a number."""
    if isinstance(answer, (str, bytes, Mapping)) or not hasattr(answer, "__iter__"):
        return None
    found = [number(part) for part in answer]
    return None if any(value is None for value in found) else [v for v in found if v is not None]


def differences(thing: Any, wanted: Mapping[str, Any]) -> list[str]:
    """Each path of `wanted` at which the object has another value, in words."""
    return [
        f"{path} is {dig(thing, path)!r} instead of {value!r}"
        for path, value in wanted.items()
        if dig(thing, path) != value
    ]


def matches(thing: Any, wanted: Mapping[str, Any], *, name: str) -> Finding:
    """Finding for "the object exists and has all of these values"."""
    if not thing:
        return Finding(passed=False, observed=f"there is no {name}", hint=f"lab.apply(…) creates {name}.")
    wrong = differences(thing, wanted)
    return Finding(passed=not wrong, observed="; ".join(wrong) or f"{name} has all these settings")
