"""Every notebook with its solutions on a rung, and what its checks had for evidence there.

A start-up file of IPython, in a profile that lives as long as the run, lets `lab.check` write that down.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.errors import LabError
from labkit.evidence import Verdict
from labkit.lab import Lab
from labkit.notebooks.run import Plan
from labkit.notebooks.run import run as run_all
from localcluster import stored
from tests.fidelity.facts import facts, figures

ROOT = Path(__file__).parents[2]
INTO = "FIDELITY_INTO"
START_UP = "from tests.fidelity import notebooks\nnotebooks.write_down()\n"


@dataclass(frozen=True)
class Judged:
    """One check on one rung."""

    check: str
    state: str
    """Of its verdict: passed, failed, inconclusive."""
    facts: dict[str, list[str]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Played:
    """All notebooks on one rung; `broken` holds those that raised, with what."""

    provider: str
    checks: tuple[Judged, ...]
    broken: dict[str, str]

    def save(self, path: Path) -> Path:
        """Write it as JSON."""
        stored.save(path, self, indent=1, mode=0o644)
        return path

    @classmethod
    def load(cls, path: Path) -> Played:
        """Read what `save` wrote."""
        return stored.load(path, cls)


def play(provider: str, paths: Sequence[Path], out: Path, *, clock: float) -> Played:
    """Run them on the lab that runs; the executed notebooks are then under `out`."""
    with tempfile.TemporaryDirectory(prefix="fidelity-") as home:
        start_up = Path(home, "profile_default", "startup", "00-fidelity.py")
        start_up.parent.mkdir(parents=True)
        start_up.write_text(START_UP)
        into = Path(home, "checks.jsonl")
        into.touch()
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        os.environ.update({"IPYTHONDIR": home, INTO: str(into), "PYTHONPATH": path})
        parameters = {"PROVIDER": provider, "ANSWERS": "solutions", "SEED": 0, "CLOCK": clock}
        records = run_all(Plan(tuple(paths), out, parameters))
        seen = {one["check"]: Judged(**one) for one in map(json.loads, into.read_text().splitlines())}
    broken = {record.name: record.error for record in records if record.error}
    return Played(provider, tuple(seen.values()), broken)


def write_down() -> None:
    """In a kernel: let every check add a line to the file that the environment names."""
    check = Lab.check

    def and_write(lab: Lab, name: str, **answers: Any) -> Verdict:
        verdict = check(lab, name, **answers)
        with Path(os.environ[INTO]).open("a") as file:
            file.write(json.dumps(stored.plain(_judged(lab, verdict, answers))) + "\n")
        return verdict

    Lab.check = and_write  # type: ignore[method-assign, assignment]


def _judged(lab: Lab, verdict: Verdict, answers: dict[str, Any]) -> Judged:
    """The objects that a check reads are read once more: a moment later they say the same."""
    from labkit import checks  # noqa: PLC0415 - of the course that this kernel has loaded
    from labkit.evidence.reads import read  # noqa: PLC0415

    try:
        evidence = {**read(lab.kube, checks.get(verdict.id).reads), **answers}
        events = lab.get(f"/api/v1/namespaces/{lab.kube.namespace}/events")["items"]
    except LabError:
        evidence, events = answers, []
    said = {aspect: sorted(items) for aspect, items in facts(evidence, events).items()}
    return Judged(verdict.id, verdict.state, said, figures(evidence))
