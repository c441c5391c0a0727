"""`make fidelity`: one seeded scenario on two rungs, and every difference between them.

    python -m tests.fidelity embedded kind [--seed 0] [--clock 15]
    python -m tests.fidelity --compare out/fidelity/1-embedded.json out/fidelity/2-kind.json

Ends with 0 where the targets are met and every difference is explained, with 1 where not, and with 2 where
the machine was too busy for a verdict. A lab that runs is used; one that it started is taken down again.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from labkit.errors import ProviderError
from localcluster import catalog
from localcluster.cli import console
from localcluster.layout import default_name
from tests.cluster.kind.wanted import wanted
from tests.fidelity import report, scenario
from tests.fidelity.difference import compare, explanations
from tests.fidelity.observed import Run

OUT = Path("out")
INCONCLUSIVE = 2


def main() -> int:
    """Run what was asked for, compare, and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rungs", nargs="*", help="two providers, such as: embedded kind")
    parser.add_argument("--compare", nargs=2, type=Path, metavar="RUN.json", help="two runs made before")
    parser.add_argument("--only", action="store_true", help="run, do not compare (for one rung at a time)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clock", type=float, default=15.0)
    asked = parser.parse_args()
    if asked.compare:
        runs = [Run.load(path) for path in asked.compare]
    else:
        runs = [one_rung(name, i, asked) for i, name in enumerate(asked.rungs or ["embedded", "kind"], 1)]
    return 0 if asked.only else verdict(runs[0], runs[1])


def one_rung(provider: str, number: int, asked: argparse.Namespace) -> Run:
    """The scenario on one provider; its lab is started if it does not run."""
    found, name = catalog.get(provider), default_name()
    try:
        found.kubeconfig()
        started = False
    except ProviderError:
        found.up(wanted(name, clock=asked.clock), console.report)
        started = True
    try:
        done = scenario.run(provider, clock=asked.clock, seed=asked.seed)
    finally:
        if started:
            found.down()
    path = done.save(OUT / "fidelity" / f"{number}-{provider}.json")
    console.report(f"{path}: {done.ranks}")
    return done


def verdict(left: Run, right: Run) -> int:
    """Write the report; the exit status."""
    rows = compare(left, right, explanations())
    path = report.write((left, right), rows, OUT)
    console.out.print(path.read_text(), markup=False)
    if not report.bad(rows):
        return 0
    doubtful = any(policy.doubts for run in (left, right) for policy in run.policies)
    return INCONCLUSIVE if doubtful else 1


if __name__ == "__main__":
    os.environ.setdefault("LABKIT_LAB", "fidelity")
    sys.exit(main())
