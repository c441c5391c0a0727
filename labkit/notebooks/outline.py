"""The course at a glance: each notebook's question and minutes, as given in its first cell.

Everything in the table comes from the notebooks, and seconds from a run's summary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import BadInput
from labkit.notebooks.strip import read

CLASS = 90  # minutes of the core path
_HEAD = re.compile(
    r"# (?P<number>\d\d) · (?P<question>[^\n]+)\n.*?About (?P<minutes>\d+) minutes"
    r"(?:.*?In a 90-minute class: (?P<core>\d+)(?P<without>[^.]*)\.)?",
    re.DOTALL,
)


@dataclass(frozen=True)
class Outline:
    """One notebook. `core` is its share of a 90-minute class, 0 if a class leaves it out."""

    name: str
    question: str
    minutes: int
    core: int
    without: tuple[str, ...]
    """The sections that a class leaves out."""


def of(path: Path) -> Outline:
    """What the first cell says; raises `BadInput` if title or minutes are missing."""
    found = _HEAD.match(read(path).cells[0].source)
    if found is None:
        raise BadInput(
            f"{path} does not begin with a title and its minutes.",
            fix="Write `# NN · Question?` and, below it, `About 30 minutes`.",
        )
    left_out = tuple(re.findall("“(.+?)”", found["without"] or ""))
    return Outline(path.stem, found["question"], int(found["minutes"]), int(found["core"] or 0), left_out)


def table(outlines: Iterable[Outline], seconds: Mapping[str, float]) -> str:
    """The course as Markdown; `seconds` are those of a run without a person, by notebook."""
    every = list(outlines)
    lines = ["| notebook | question | minutes | in a class | runs in |", "|---|---|---|---|---|"]
    lines += [
        f"| [{one.name}](notebooks/{one.name}.ipynb) | {one.question} | {one.minutes} | {one.core or ''} | "
        f"{f'{seconds[one.name]:.0f} s' if one.name in seconds else ''} |"
        for one in every
    ]
    ran = [seconds[one.name] for one in every if one.name in seconds]
    total = f"{sum(ran):.0f} s" if len(ran) == len(every) else ""
    minutes, core = sum(one.minutes for one in every), sum(one.core for one in every)
    return "\n".join([*lines, f"| all | | {minutes} | {core} | {total} |"])


def measured(summary: Path) -> dict[str, float]:
    """The seconds of each notebook from a run's `summary.json`; empty if there is none."""
    try:
        data = json.loads(summary.read_text())
        return {str(n["notebook"]): float(n["seconds"]) for n in data["notebooks"]}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}
