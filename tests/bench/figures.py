"""A figure and what is expected of it; the table and the JSON that a run leaves."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured (in `unit`), and the most that it may be."""

    name: str
    value: float
    unit: str
    target: float
    samples: int = 1
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether it is within its target."""
        return self.value <= self.target


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def write(figures: Sequence[Figure], into: Path) -> None:
    """Print the table; write the same as JSON, with what the machine is."""
    table = Table("FIGURE", "VALUE", "TARGET", "", "HOW", box=None)
    for f in figures:
        verdict = "[green]met[/]" if f.met else "[bold red]missed[/]"
        how = f"{f.samples} samples" if f.samples > 1 else "1 run"
        table.add_row(
            f.name,
            f"{f.value:.3g} {f.unit}",
            f"≤ {f.target:g} {f.unit}",
            verdict,
            f"{how}; {f.note}".strip("; "),
        )
    Console().print(table)
    into.mkdir(parents=True, exist_ok=True)
    machine = {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()}
    rows = [asdict(f) | {"met": f.met} for f in figures]
    (into / "bench.json").write_text(json.dumps({"machine": machine, "figures": rows}, indent=1))
