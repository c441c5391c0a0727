"""Two runs side by side: what must be the same, what may lie apart and how far, and what only one has.

A target that is missed stays missed; any other difference needs an entry in `explanations.toml`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fidelity.observed import Observed, Run

POINTS = 0.15
"""How far SLO attainment may lie apart, as a share of all requests."""

TOLERANCE = {
    "crowd → first step": 15.0,  # one sync of the HPA: where in it the crowd falls is chance
    "pod seen → Running": 15.0,  # a second of ours
    "last step → all ready": 30.0,
    "crowd gone → 2 again": 30.0,
    "ttft p50": 2.0,
    "ttft p95": 10.0,
    "itl p50 (ms)": 15.0,
    "busiest pod, × the mean": 0.1,
}
"""How far a figure may lie apart, in its own unit: what two runs of one rung differ by, rounded up."""

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
    """Why one kind of difference is there: `on` is the rung that shows it, `any` for either."""

    aspect: str
    item: str
    on: str
    why: str

    def covers(self, aspect: str, item: str, on: str) -> bool:
        """Whether it is about this difference."""
        return self.aspect == aspect and self.on in {on, "any"} and bool(re.fullmatch(self.item, item))


def explanations(path: Path = HERE / "explanations.toml") -> tuple[Explanation, ...]:
    """Those that are written down."""
    return tuple(Explanation(**entry) for entry in tomllib.loads(path.read_text()).get("difference", []))


def compare(left: Run, right: Run, known: Sequence[Explanation]) -> list[Row]:
    """Every row of the report, targets first."""
    pairs = list(zip(left.policies, right.policies, strict=True))
    rows = [_target("all", "rank order", left.ranks, right.ranks, met=left.ranks == right.ranks)]
    rows += [row for pair in pairs for row in _targets(*pair)]
    return rows + [row for a, b in pairs for row in _others(a, b, (left.provider, right.provider), known)]


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
        mine, theirs = set(getattr(a, field)), set(getattr(b, field))
        for item in sorted(mine ^ theirs):
            on = rungs[0] if item in mine else rungs[1]
            there = ["yes" if item in side else "–" for side in (mine, theirs)]
            yield _judged(Row(a.policy, aspect, item, there[0], there[1], ""), on, known)
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
    if left is not None and right is not None and abs(left - right) <= TOLERANCE[name]:
        return row
    return _judged(row, rungs[(left or 0.0) < (right or 0.0)], known)


def _judged(row: Row, on: str, known: Sequence[Explanation]) -> Row:
    found = next((one.why for one in known if one.covers(row.aspect, row.item, on)), "")
    verdict = "explained" if found else "unexplained"
    return Row(row.policy, row.aspect, row.item, row.left, row.right, verdict, found)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
