"""Two runs side by side: what must be the same, what may lie apart and how far, and what only one has.

A target that is missed stays missed; any other difference needs an entry in `explanations.toml`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fidelity.notebooks import Judged, Played
from tests.fidelity.observed import Observed, Run

POINTS = 0.15
"""How far SLO attainment may lie apart, as a share of all requests."""

TOLERANCE = {
    "crowd → first step": (15.0, 0.0),  # one sync of the HPA: where in it the crowd falls is chance
    "pod seen → Running": (15.0, 0.0),  # a second of ours
    "last step → all ready": (30.0, 0.0),
    "last step → 2 again": (60.0, 0.0),
    "ttft p50": (2.0, 0.15),
    "ttft p95": (10.0, 0.15),
    "itl p50 (ms)": (15.0, 0.0),
    "busiest pod, × the mean": (0.1, 0.0),
}
"""How far a figure may lie apart: so much in its own unit, or such a share of the larger if that is more."""

REPLICAS = (1.0, 0.2)
"""The same for the most replicas that an HPA asked for: which requests a sync falls between is chance."""

SETS = {"event": "events", "condition": "conditions", "state": "states"}
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """One comparison: `verdict` is `same`, `explained`, `unexplained` or `missed` (a target)."""

    policy: str
    aspect: str
    item: str
    left: str
    right: str
    verdict: str
    why: str = ""


@dataclass(frozen=True)
class Explanation:
    """Why one kind of difference is there: `on` is the rung that shows it, `any` for either.

    With a `policy`, only under that one.
    """

    aspect: str
    item: str
    on: str
    why: str
    policy: str = ""

    def covers(self, row: Row, on: str) -> bool:
        """Whether it is about this difference, which is there (or greater) on the rung `on`."""
        same = self.aspect == row.aspect and self.policy in {"", row.policy} and self.on in {on, "any"}
        return same and bool(re.fullmatch(self.item, row.item))


def explanations(path: Path = HERE / "explanations.toml") -> tuple[Explanation, ...]:
    """Those that are written down."""
    return tuple(Explanation(**entry) for entry in tomllib.loads(path.read_text()).get("difference", []))


def compare(left: Run, right: Run, known: Sequence[Explanation]) -> list[Row]:
    """Every row of the report, targets first."""
    pairs = list(zip(left.policies, right.policies, strict=True))
    rows = [_target("all", "rank order", left.ranks, right.ranks, met=left.ranks == right.ranks)]
    rows += [row for pair in pairs for row in _targets(*pair)]
    return rows + [row for a, b in pairs for row in _others(a, b, (left.provider, right.provider), known)]


def compare_notebooks(left: Played, right: Played, known: Sequence[Explanation]) -> list[Row]:
    """Every row of the report of all notebooks: what raised, verdicts, then each check's evidence."""
    rungs = (left.provider, right.provider)
    rows = [
        _target(name, "cells", left.broken.get(name, "ran"), right.broken.get(name, "ran"), met=False)
        for name in sorted(left.broken.keys() | right.broken.keys())
    ]
    mine, theirs = ({one.check: one for one in played.checks} for played in (left, right))
    for name in sorted(mine.keys() | theirs.keys()):
        a, b = mine.get(name, Judged(name, "not run")), theirs.get(name, Judged(name, "not run"))
        rows.append(_target(name, "verdict", a.state, b.state, met=a.state == b.state))
        for figure in sorted(a.figures.keys() & b.figures.keys()):
            row, near = _number(name, figure, a.figures[figure], b.figures[figure])
            on = rungs[a.figures[figure] < b.figures[figure]]
            rows.append(row if near else _judged(row, on, known))
        for aspect in sorted(a.facts.keys() | b.facts.keys()):
            sides = set(a.facts.get(aspect, ())), set(b.facts.get(aspect, ()))
            rows += _only_one(name, aspect, sides, rungs, known)
    return rows


def _number(name: str, figure: str, left: float, right: float) -> tuple[Row, bool]:
    """A figure on both sides, and whether they lie close enough together."""
    share = figure.endswith("attainment")
    most = POINTS if share else max(REPLICAS[0], REPLICAS[1] * max(left, right))
    shown = [f"{value:.0%}" if share else f"{value:g}" for value in (left, right)]
    return Row(name, "figure", figure, shown[0], shown[1], "same"), abs(left - right) <= most


def _only_one(
    name: str,
    aspect: str,
    sides: tuple[set[str], set[str]],
    rungs: tuple[str, str],
    known: Sequence[Explanation],
) -> Iterator[Row]:
    """A row for each item that only one of two sides has."""
    mine, theirs = sides
    for item in sorted(mine ^ theirs):
        there = ["yes" if item in side else "–" for side in (mine, theirs)]
        row = Row(name, aspect, item, there[0], there[1], "")
        yield _judged(row, rungs[0] if item in mine else rungs[1], known)


def _target(policy: str, aspect: str, left: str, right: str, *, met: bool) -> Row:
    return Row(policy, aspect, "", left, right, "same" if met else "missed")


def _targets(a: Observed, b: Observed) -> Iterator[Row]:
    shown = [" → ".join(map(str, one.steps)) for one in (a, b)]
    yield _target(a.policy, "HPA steps", shown[0], shown[1], met=a.steps == b.steps)
    near = abs(a.attainment - b.attainment) <= POINTS
    yield _target(a.policy, "SLO attainment", f"{a.attainment:.0%}", f"{b.attainment:.0%}", met=near)


def _others(a: Observed, b: Observed, rungs: tuple[str, str], known: Sequence[Explanation]) -> Iterator[Row]:
    for name in a.figures:
        yield _figure(a, b, name, rungs, known)
    for aspect, field in SETS.items():
        sides = set(getattr(a, field)), set(getattr(b, field))
        yield from _only_one(a.policy, aspect, sides, rungs, known)
    for kind in sorted(a.failures.keys() | b.failures.keys()):
        counts = [one.failures.get(kind, 0) for one in (a, b)]
        if counts[0] != counts[1]:
            on = rungs[counts[0] < counts[1]]
            yield _judged(Row(a.policy, "failure", kind, str(counts[0]), str(counts[1]), ""), on, known)


def _figure(a: Observed, b: Observed, name: str, rungs: tuple[str, str], known: Sequence[Explanation]) -> Row:
    left, right = a.figures[name], b.figures[name]
    row = Row(a.policy, "figure", name, _shown(left), _shown(right), "same")
    if left is None and right is None:
        return row
    if left is not None and right is not None and abs(left - right) <= allowed(name, left, right):
        return row
    return _judged(row, rungs[(left or 0.0) < (right or 0.0)], known)


def allowed(name: str, left: float, right: float) -> float:
    """How far apart these two values of a figure may lie."""
    absolute, share = TOLERANCE[name]
    return max(absolute, share * max(left, right))


def _judged(row: Row, on: str, known: Sequence[Explanation]) -> Row:
    found = next((one.why for one in known if one.covers(row, on)), "")
    verdict = "explained" if found else "unexplained"
    return Row(row.policy, row.aspect, row.item, row.left, row.right, verdict, found)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
