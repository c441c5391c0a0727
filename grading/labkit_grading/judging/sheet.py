"""One student's grade: each check judged again on the bundle's evidence, then weighted by the rubric. Pure.

A verdict is never read from a notebook. A check whose recording is forged earns nothing and is flagged; one
that could not be judged for reasons on our side is "not judged", as distinct from a wrong answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property

from course.untouched import OPEN
from labkit import checks
from labkit.checks.check import UNANSWERED
from labkit.evidence import Verdict
from labkit_grading.judging.bundle import Bundle, Observation
from labkit_grading.judging.proofs import doubts
from labkit_grading.judging.rubric import CheckPoints, Rubric
from labkit_grading.judging.strangers import sent
from labkit_grading.submissions.remark import PERSON, Remark, neutral

STATES = (
    "passed", "failed", "forged", "self-reported", "not reached", "not judged", PERSON, "graded", "open",
)  # fmt: skip


OBSERVED = 400  # characters: an answer can be long
NO_ANSWER = "no answer came of what was handed in: `...` was still in its place when the check was reached"
UNWORKED = frozenset(checks.CHECKS) - frozenset().union(*OPEN.values())
"""Checks that pass without any work."""
Share = tuple[float, str]
"""A share of a check's points, and why it is not all of them."""


@dataclass(frozen=True)
class Line:
    """One check or manual question. `observed` says what was seen, `at` when and `cell` where."""

    id: str
    state: str
    points: float
    of: float
    expected: str = ""
    observed: str = ""
    at: str = ""
    cell: str = ""
    hint: str = ""
    note: str = ""
    everybody: bool = False
    """It passes without any work."""

    @property
    def lost(self) -> float:
        """The points that were not earned."""
        return self.of - self.points


@dataclass(frozen=True)
class Sheet:
    """One student's complete grade."""

    student: str
    folder: str
    lines: tuple[Line, ...]
    remarks: tuple[Remark, ...]
    submitted: datetime | None = None
    late: float = 0.0
    """Share of the score that lateness costs."""
    untouched: bool = False
    """Nothing in it differs from the release."""
    seconds: float = 0.0
    """How long its notebooks ran, in real seconds."""

    @cached_property
    def raw(self) -> float:
        """Points before lateness."""
        return round(sum(line.points for line in self.lines), 6)

    @property
    def penalty(self) -> float:
        """Points that lateness costs."""
        return round(self.raw * self.late, 6)

    @property
    def score(self) -> float:
        """The final points."""
        return round(self.raw - self.penalty, 6)

    @property
    def most(self) -> float:
        """The maximum number of points."""
        return sum(line.of for line in self.lines)

    @property
    def everybody(self) -> float:
        """The points, before lateness, of checks that pass without any work."""
        return round(sum(line.points for line in self.lines if line.everybody), 6)

    @property
    def flagged(self) -> bool:
        """Whether a person should look."""
        forged = any(line.state == "forged" for line in self.lines)
        return forged or any(remark.kind == "flagged" for remark in self.remarks)

    @property
    def for_a_person(self) -> tuple[str, ...]:
        """Why a person must look before there is a score: each reason once; empty if no one has to."""
        remarks = [f"{r.file}: {r.what}".removeprefix(": ") for r in self.remarks if r.kind == PERSON]
        lines = [line.observed for line in self.lines if line.state == PERSON]
        return tuple(dict.fromkeys(remarks or lines)) if lines else ()

    @property
    def status(self) -> str:
        """`graded`, or `needs a person`, in which case the score is incomplete."""
        return PERSON if self.for_a_person else "graded"

    @property
    def unjudged(self) -> tuple[Line, ...]:
        """What could not be judged, for reasons on our side."""
        return tuple(line for line in self.lines if line.state == "not judged")


@dataclass(frozen=True)
class InstructorInput:
    """What a person adds: the time of submission, and points and comments for what they grade."""

    submitted: datetime | None = None
    manual: Mapping[str, tuple[float, str]] | None = None


def grade(bundle: Bundle, rubric: Rubric, instructor: InstructorInput | None = None) -> Sheet:
    """Judge and weight; the same bundle and rubric always give the same sheet."""
    instructor = instructor or InstructorInput()
    found = {name: _judge(name, bundle) for name in rubric.checks}
    lines = list(weigh(found, rubric, {name: _free(line, bundle, rubric) for name, line in found.items()}))
    given = instructor.manual or {}
    lines = [
        _by_hand(line, given[line.id]) if _is_open(line) and line.id in given else line for line in lines
    ]
    for question in rubric.manual:
        points, comment = given.get(question.id, (0.0, ""))
        state = "graded" if question.id in given else "open"
        note = comment or ("" if question.id in given else "not graded yet: needs a person")
        kept = min(points, question.points)
        lines.append(Line(question.id, state, kept, question.points, question.question, note=note))
    late = rubric.late.share(instructor.submitted) if rubric.late else 0.0
    said = "\n".join(line.note + line.observed for line in lines)
    remarks = tuple(one for one in bundle.remarks if one.kind != "note" or one.what not in said)
    untouched = bundle.answered == () and not any(one.kind == PERSON for one in remarks)
    made = Sheet(bundle.student, bundle.folder, tuple(lines), remarks, instructor.submitted, late)
    seconds = round(sum(one.seconds for one in bundle.ran), 1)
    return replace(made, untouched=untouched, seconds=seconds)


def _is_open(line: Line) -> bool:
    return line.state == PERSON


def _by_hand(line: Line, given: tuple[float, str]) -> Line:
    """A check that needed a person, graded by one."""
    points, comment = given
    return replace(line, state="graded", points=min(points, line.of), note=comment or "graded by a person")


def weigh(
    found: Mapping[str, Line], rubric: Rubric, free: Mapping[str, Share | None] | None = None
) -> Iterator[Line]:
    """The line of each check with its points; `free` is what passes without any work, and its share."""
    given = {name: share for name, share in (free or {}).items() if share}
    passed = {name for name, line in found.items() if line.state == "passed" and name not in given}
    passed |= {name for name, (share, _) in given.items() if share}
    for name, worth in rubric.checks.items():
        share = given.get(name) or _share(found[name], worth, rubric, passed)
        yield _weigh(found[name], worth, share, everybody=name in given)


def _free(line: Line, bundle: Bundle, rubric: Rubric) -> Share | None:
    """What a check earns that passed, and passes without any work; None for every other one."""
    if line.state != "passed" or bundle.answered is None or line.id not in UNWORKED:
        return None
    if not any(one[:2] == line.id[:2] for one in bundle.answered):
        return 0.0, "it passes without any work, and nothing of this notebook was handed in"
    return (
        rubric.everybody,
        "" if rubric.everybody == 1 else f"what everybody gets weighs {rubric.everybody:.0%}",
    )


def judged(verdict: Verdict) -> Line:
    """A verdict as a line, without points yet."""
    state = {"passed": "passed", "failed": "failed", "inconclusive": "not judged"}[verdict.state]
    observed = neutral(verdict.observed, OBSERVED)
    return Line(verdict.id, state, 0.0, 0.0, verdict.expected, observed, hint=verdict.hint)


def _judge(name: str, bundle: Bundle) -> Line:
    line = _explained(_seen(name, bundle), bundle)
    if line.state in {"failed", "not reached", "self-reported"} and name in bundle.unsure:
        return replace(line, state=PERSON, observed=neutral(bundle.unsure[name], OBSERVED), hint="")
    return line


def _explained(line: Line, bundle: Bundle) -> Line:
    """A check that lost its point, with what went wrong in its cells."""
    if line.state not in {"failed", "not reached", "not judged"}:
        return line
    why = bundle.reasons.get(line.id, "")
    if line.observed == UNANSWERED and line.id in (bundle.answered or ()):
        line = replace(line, observed=NO_ANSWER)
    note = "" if why in line.observed else why
    return replace(line, note="; ".join(filter(None, (line.note, note))))


def _seen(name: str, bundle: Bundle) -> Line:
    seen = [one for one in bundle.observations if one.check == name]
    if not seen:
        return _unreached(name, bundle)
    one = seen[-1]
    verdict = checks.get(name).run(one.evidence)
    line = _line(one, verdict)
    if others := sent(one, bundle.senders, own=False):
        return replace(
            line, state="not judged", observed=f"{'; '.join(others)}: it has to be run again", hint=""
        )
    if reasons := (*doubts(one, bundle.writes, bundle.strangers), *sent(one, bundle.senders, own=True)):
        return _but(line, "forged" if verdict.passed else line.state, "; ".join(reasons))
    if one.self_reported and verdict.passed:
        told = ", ".join(one.self_reported)
        return _but(line, "self-reported", f"known only from the student's own process: {told}")
    return line


def _unreached(name: str, bundle: Bundle) -> Line:
    check = checks.get(name)
    ran = next((one for one in bundle.ran if one.name.startswith(check.notebook)), None)
    if ran is None or ran.ours:
        why = ran.ended if ran else "its notebook was not run"
        return Line(name, "not judged", 0.0, 0.0, check.expected, why)
    stopped = ran.ended or bundle.reasons.get(name, "") or "its cell did not call the check"
    why = f"the check was never reached: {stopped}"
    return Line(name, "not reached", 0.0, 0.0, check.expected, why, hint=check.hint)


def _line(one: Observation, verdict: Verdict) -> Line:
    at = datetime.fromtimestamp(one.at, UTC).isoformat(timespec="seconds")
    return replace(
        judged(verdict), id=one.check, expected=checks.get(one.check).expected, at=at, cell=one.cell
    )


def _but(line: Line, state: str, note: str) -> Line:
    return replace(line, state=state, note=note)


def _weigh(line: Line, worth: CheckPoints, earned: Share, *, everybody: bool) -> Line:
    share, note = earned
    told = "; ".join(filter(None, (line.note, note)))
    points = round(worth.points * share, 6)
    return replace(line, points=points, of=worth.points, note=told, everybody=everybody)


def _share(line: Line, worth: CheckPoints, rubric: Rubric, passed: set[str]) -> Share:
    if line.state == "passed":
        return 1.0, ""
    if line.state == "self-reported":
        return rubric.self_reported, f"weighs {rubric.self_reported:.0%}"
    if line.state == "failed":
        earned = [(share, name) for name, share in worth.partial.items() if name in passed]
        if earned:
            share, name = max(earned)
            return share, f"{share:.0%} for {name}, which passed"
    return 0.0, ""
