"""The rubric: a TOML file that says what each check is worth. It can change after the class has been run.

    title = "Autoscaling, week 3"
    notebooks = ["05"]
    points = 1                                     # for each check not named below

    [checks]
    "05.hpa" = 2
    "05.scale-out" = {points = 4, partial = {"05.scaling-active" = 0.5}}

    [late]
    due = 2026-12-01T23:59:00Z
    grace_minutes = 15
    each_day = 0.1                                 # share of the score lost per day begun
    most = 0.5

    [[manual]]
    id = "essay"
    question = "Why is a queue a better signal than CPU?"
    points = 5

`partial`: a failed check still earns that share if the other check passed. `self_reported` (0 if omitted) is
the share that a check earns if its recording comes only from the student's process. Refuses unknown keys: a
typing error must not cost anyone points. `everybody` (1 if omitted) is the share that a check earns which
passes without any work; where nothing of its notebook was handed in, it earns nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil, isfinite
from pathlib import Path
from typing import Any

from labkit import checks
from labkit.errors import BadInput

DAY = 86400.0


@dataclass(frozen=True)
class CheckPoints:
    """A check's points, and the share of them that passing another check earns."""

    points: float
    partial: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Manual:
    """A question that a person grades."""

    id: str
    question: str
    points: float


@dataclass(frozen=True)
class Late:
    """What lateness costs: a share of the score for each day begun after the grace period."""

    due: datetime
    grace_minutes: float = 0.0
    each_day: float = 0.0
    most: float = 1.0

    def share(self, submitted: datetime | None) -> float:
        """The share of the score that is lost; none if the time of submission is not known."""
        if submitted is None:
            return 0.0
        over = (submitted - self.due).total_seconds()
        if over <= 60 * self.grace_minutes:
            return 0.0
        return min(self.most, self.each_day * ceil(over / DAY))


@dataclass(frozen=True)
class Rubric:
    """What is graded, and what it is worth."""

    title: str
    checks: Mapping[str, CheckPoints]
    manual: Sequence[Manual] = ()
    late: Late | None = None
    self_reported: float = 0.0
    everybody: float = 1.0

    @property
    def most(self) -> float:
        """The maximum number of points."""
        return sum(c.points for c in self.checks.values()) + sum(m.points for m in self.manual)


def load(path: Path) -> Rubric:
    """Read a rubric; raises `BadInput` saying what is wrong in it."""
    try:
        data = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path} is not TOML: {error}.", fix="Compare it with labkit grade --help.") from error
    return of(data, name=path.name)


def of(data: Mapping[str, Any], *, name: str = "the rubric") -> Rubric:
    """A rubric from its data."""
    words = {"title", "notebooks", "points", "self_reported", "everybody", "checks", "late", "manual"}
    _known(data, words, name)
    notebooks = [str(word)[:2] for word in data.get("notebooks", [])]
    graded = [c for c in checks.CHECKS.values() if not notebooks or c.notebook in notebooks]
    named = data.get("checks", {})
    _known(named, {check.id for check in graded}, f"{name}, [checks]")
    each = _points(data.get("points", 1), f"{name}, points")
    worth = {c.id: _worth(named.get(c.id, each), f"{name}, {c.id}") for c in graded}
    manual = tuple(_manual(one, name) for one in data.get("manual", []))
    ids = [one.id for one in manual]
    if twice := [one for one in ids if ids.count(one) > 1 or one in checks.CHECKS]:
        raise BadInput(
            f"{name}: the manual question {twice[0]!r} has the id of another question or check.",
            fix="Give each question an id of its own.",
        )
    share = _share(data.get("self_reported", 0.0), f"{name}, self_reported")
    free = _share(data.get("everybody", 1.0), f"{name}, everybody")
    return Rubric(str(data.get("title", name)), worth, manual, _late(data.get("late"), name), share, free)


def _worth(value: Any, name: str) -> CheckPoints:
    if not isinstance(value, Mapping):
        return CheckPoints(_points(value, name))
    _known(value, {"points", "partial"}, name)
    partial = value.get("partial", {})
    _known(partial, set(checks.CHECKS), f"{name}, partial")
    return CheckPoints(
        _points(value.get("points", 1), name), {k: _share(v, name) for k, v in partial.items()}
    )


def _manual(value: Mapping[str, Any], name: str) -> Manual:
    _known(value, {"id", "question", "points"}, f"{name}, [[manual]]")
    if not value.get("id"):
        raise BadInput(f"{name}: a manual question has no id.", fix='id = "essay"')
    return Manual(str(value["id"]), str(value.get("question", "")), _points(value.get("points", 1), name))


def _late(value: Mapping[str, Any] | None, name: str) -> Late | None:
    if value is None:
        return None
    _known(value, {"due", "grace_minutes", "each_day", "most"}, f"{name}, [late]")
    due = value.get("due")
    if not isinstance(due, datetime) or due.tzinfo is None:
        raise BadInput(f"{name}: due is not a time with a time zone.", fix="due = 2026-12-01T23:59:00Z")
    share = {key: _share(value[key], f"{name}, {key}") for key in ("each_day", "most") if key in value}
    return Late(due, _points(value.get("grace_minutes", 0), f"{name}, grace_minutes"), **share)


def _known(data: Mapping[str, Any], words: set[str], name: str) -> None:
    if unknown := sorted(set(data) - words):
        raise BadInput(f"{name}: unknown {', '.join(unknown)}.", fix=f"Known: {', '.join(sorted(words))}.")


def _points(value: Any, name: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not isfinite(value) or value < 0:
        raise BadInput(f"{name}: {value!r} is not a number of points.", fix="Use a number from 0 up.")
    return float(value)


def _share(value: Any, name: str) -> float:
    if (share := _points(value, name)) > 1:
        raise BadInput(f"{name}: {value!r} is not a share.", fix="Use a number from 0 to 1.")
    return share
