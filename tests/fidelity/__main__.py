"""`make fidelity`: a seeded scenario, or every notebook, on two rungs, and all differences between them.

    python -m tests.fidelity embedded kind [--seed 0] [--clock 15]
    python -m tests.fidelity embedded kind --notebooks [05 07 …]
    python -m tests.fidelity [--notebooks] --compare out/fidelity/1-embedded.json out/fidelity/2-kind.json

With --notebooks, the evidence of every check is compared: verdicts, events, conditions, the order of
states and phases, kinds of failures, SLO attainment, how far each HPA went.

Ends with 0 where the targets are met and every difference is explained, with 1 where not, and with 2 where
the machine was too busy for a verdict. A lab that runs is used; one that it started is taken down again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.errors import ProviderError
from localcluster import catalog
from localcluster.cli import console
from localcluster.layout import default_name
from tests.cluster.kind.wanted import wanted
from tests.fidelity import report, scenario
from tests.fidelity.difference import compare, compare_notebooks, explanations
from tests.fidelity.notebooks import Played, play
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
    parser.add_argument(
        "--notebooks", nargs="*", metavar="NN", help="the notebooks, not the scenario; none named: all"
    )
    parser.add_argument("--only", action="store_true", help="run, do not compare (for one rung at a time)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clock", type=float, default=15.0)
    asked = parser.parse_args()
    compared = compared_notebooks if asked.notebooks is not None else compared_scenario
    return compared(asked)


def compared_scenario(asked: argparse.Namespace) -> int:
    """The scenario on both rungs, or two runs of it that were made before."""
    paths = asked.compare or [one_rung(name, number, asked) for number, name in rungs(asked)]
    return 0 if asked.only else verdict(Run.load(paths[0]), Run.load(paths[1]))


def compared_notebooks(asked: argparse.Namespace) -> int:
    """The same for the notebooks."""
    paths = asked.compare or [all_notebooks(name, number, asked) for number, name in rungs(asked)]
    return 0 if asked.only else verdict_of_notebooks(Played.load(paths[0]), Played.load(paths[1]))


def rungs(asked: argparse.Namespace) -> list[tuple[int, str]]:
    """The providers, numbered."""
    return list(enumerate(asked.rungs or ["embedded", "kind"], 1))


@contextmanager
def on_a_lab(provider: str, asked: argparse.Namespace) -> Iterator[None]:
    """A provider's lab, which is started, and ended again, if it does not run."""
    found, name = catalog.get(provider), default_name()
    try:
        found.kubeconfig()
        started = False
    except ProviderError:
        found.up(wanted(name, clock=asked.clock), console.report)
        started = True
    try:
        yield
    finally:
        if started:
            found.down()


def one_rung(provider: str, number: int, asked: argparse.Namespace) -> Path:
    """The scenario on one provider; where its record is."""
    with on_a_lab(provider, asked):
        done = scenario.run(provider, clock=asked.clock, seed=asked.seed)
    path = done.save(OUT / "fidelity" / f"{number}-{provider}.json")
    console.report(f"{path}: {done.ranks}")
    return path


def all_notebooks(provider: str, number: int, asked: argparse.Namespace) -> Path:
    """The notebooks on one provider; where their record is."""
    names = tuple(asked.notebooks) or ("",)
    paths = [path for path in sorted(Path("notebooks").glob("*.ipynb")) if path.stem.startswith(names)]
    out = OUT / "fidelity" / f"{number}-{provider}"
    with on_a_lab(provider, asked):
        done = play(provider, paths, out, clock=asked.clock)
    path = done.save(out.with_name(f"{out.name}-notebooks.json"))
    console.report(f"{path}: {len(done.checks)} checks; raised: {', '.join(done.broken) or 'none'}")
    return path


def verdict_of_notebooks(left: Played, right: Played) -> int:
    """Write the report; the exit status."""
    rows = compare_notebooks(left, right, explanations())
    path = report.write_notebooks((left, right), rows, OUT)
    console.out.print(path.read_text(), markup=False)
    return 1 if report.bad(rows) else 0


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
