"""The report: Markdown for people, JSON for programs, both under out/."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from localcluster.stored import plain
from tests.fidelity.difference import TOLERANCE, Row
from tests.fidelity.notebooks import Played
from tests.fidelity.observed import Run

VERDICTS = ("same", "explained", "unexplained", "missed")
TARGETS = ("rank order", "HPA steps", "SLO attainment")


def bad(rows: Iterable[Row]) -> list[Row]:
    """The rows that fail the comparison."""
    return [row for row in rows if row.verdict in {"missed", "unexplained"}]


def write(runs: tuple[Run, Run], rows: Sequence[Row], into: Path) -> Path:
    """Both files; the Markdown's path."""
    return _written(into / "fidelity.md", {"runs": plain(runs), "rows": plain(rows)}, markdown(runs, rows))


def write_notebooks(runs: tuple[Played, Played], rows: Sequence[Row], into: Path) -> Path:
    """Both files of the comparison of all notebooks; the Markdown's path."""
    document = {"runs": plain(runs), "rows": plain(rows)}
    return _written(into / "fidelity-notebooks.md", document, markdown_of_notebooks(runs, rows))


def _written(path: Path, document: dict[str, Any], text: str) -> Path:
    """The text at a path, and the document beside it as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
    path.write_text(text)
    return path


def markdown_of_notebooks(runs: tuple[Played, Played], rows: Sequence[Row]) -> str:
    """The report of all notebooks: one line for each difference."""
    left, right = (run.provider for run in runs)
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in VERDICTS}
    apart = [row for row in rows if row.verdict != "same"]
    lines = [
        (*_which(group), first.left, first.right, first.verdict)
        for group in _alike(apart)
        for first in group[:1]
    ]
    parts = [
        f"# {left} beside {right}: the evidence of every check",
        f"{len({row.policy for row in rows})} checks, {len(rows)} comparisons: "
        + ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        + ".",
        _table(("check", "what", left, right, ""), lines) if lines else "No difference.",
        "## Why",
        "\n".join(f"- {why}" for why in dict.fromkeys(r.why for r in rows if r.why)) or "Nothing to explain.",
    ]
    return "\n\n".join(parts) + "\n"


def _alike(rows: Sequence[Row]) -> list[list[Row]]:
    """The same difference at several checks of one notebook, together."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        key = (row.policy.partition(".")[0], row.aspect, row.item, row.left, row.right, row.verdict)
        found.setdefault(key, []).append(row)
    return list(found.values())


def _which(rows: Sequence[Row]) -> tuple[str, str]:
    first = rows[0]
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"{first.policy}{more}", f"{first.aspect}: {first.item}" if first.item else first.aspect


def markdown(runs: tuple[Run, Run], rows: Sequence[Row]) -> str:
    """The whole report."""
    left, right = runs
    heads = ("policy", "what", left.provider, right.provider, "")
    targets = [(r.policy, r.aspect, r.left, r.right, r.verdict) for r in rows if r.aspect in TARGETS]
    figures = [
        (r.policy, r.item, r.left, r.right, f"{_within(r.item)}: {r.verdict}")
        for r in rows
        if r.aspect == "figure" and (r.left, r.right) != ("–", "–")
    ]
    lists = [r for r in rows if r.aspect not in {*TARGETS, "figure"}]
    parts = [
        f"# {left.provider} beside {right.provider}",
        f"One scenario, seed {left.seed}: {left.stamp}; {right.stamp}.",
        *(_doubts(run) for run in runs if any(p.doubts for p in run.policies)),
        "## What must be the same",
        _table(heads, targets),
        "## Figures (lab seconds), and how far apart they may lie",
        _table(heads, figures),
        "## What only one of them shows",
        _table(heads, _grouped(lists)) if lists else "Nothing: the same events, conditions and states.",
        "## Why",
        "\n".join(f"- {why}" for why in dict.fromkeys(r.why for r in rows if r.why)) or "Nothing to explain.",
    ]
    return "\n\n".join(parts) + "\n"


def _grouped(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """One line for the same difference under several policies."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        key = (f"{row.aspect}: {row.item}", row.left, row.right, row.verdict)
        lines.setdefault(key, []).append(row.policy)
    return [(", ".join(policies), *key) for key, policies in lines.items()]


def _within(name: str) -> str:
    absolute, share = TOLERANCE[name]
    return f"± {absolute:g}" + (f" or {share:.0%}" if share else "")


def _doubts(run: Run) -> str:
    told = (f"{p.policy}: {doubt}" for p in run.policies for doubt in p.doubts)
    return f"Doubts about the run on {run.provider}: {'; '.join(told)}."


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
