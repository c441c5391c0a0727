"""Reads an executed notebook back: its verdicts, its plots, its error, and where it ran.

None of this is proof: anyone who ran a notebook could have printed anything. Grading judges evidence instead.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.evidence import MIME, RUN_MIME, Verdict
from labkit.notebooks.strip import read


@dataclass(frozen=True)
class Record:
    """The contents of one executed notebook. `error` is empty if every cell ran."""

    name: str
    verdicts: tuple[Verdict, ...]
    run: dict[str, Any]
    error: str
    seconds: float

    @property
    def green(self) -> bool:
        """Whether every cell ran and every check passed."""
        return not self.error and all(v.passed for v in self.verdicts)

    def count(self, state: str) -> int:
        """How many checks are `passed`, `failed` or `inconclusive`."""
        return sum(v.state == state for v in self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """For `summary.json`."""
        return {
            "notebook": self.name,
            "green": self.green,
            "seconds": round(self.seconds, 1),
            "error": self.error,
            "run": self.run,
            "checks": [v.to_json() for v in self.verdicts],
        }


def of(path: Path, *, seconds: float) -> Record:
    """Read an executed notebook; if a check was run twice, the later verdict counts."""
    verdicts: dict[str, Verdict] = {}
    run: dict[str, Any] = {}
    error = ""
    for output in _outputs(path):
        data = output.get("data", {})
        if MIME in data:
            verdict = Verdict.from_json(data[MIME])
            verdicts[verdict.id] = verdict
        run = data.get(RUN_MIME, run)
        if output["output_type"] == "error":
            error = f"{output['ename']}: {output['evalue']}"
    return Record(path.stem, tuple(verdicts.values()), run, error, seconds)


def save_plots(path: Path, into: Path) -> list[Path]:
    """Write each picture of the notebook as `<notebook>-<number>.png`; return the paths."""
    pictures = [o["data"]["image/png"] for o in _outputs(path) if "image/png" in o.get("data", {})]
    into.mkdir(parents=True, exist_ok=True)
    written = []
    for number, picture in enumerate(pictures, 1):
        target = into / f"{path.stem}-{number}.png"
        target.write_bytes(base64.b64decode(picture))
        written.append(target)
    return written


def _outputs(path: Path) -> Iterator[Any]:
    for cell in read(path).cells:
        yield from cell.get("outputs", [])
