"""labkit study run, show: the comparison of notebook 06, made on a running lab."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Annotated

import typer

from labkit import course
from localcluster import catalog
from localcluster.cli.console import err, out

app = typer.Typer(
    name="study",
    help=(
        "Three policies (static, CPU, queue) under three loads (ramp, burst, trace), with several seeds.\n\n"
        "A run takes half a minute; each is stored when it ends, so a study that was stopped can resume."
    ),
    no_args_is_help=True,
)

Journal = Annotated[Path, typer.Option("--journal", help="Where finished runs are stored.")]
Seeds = Annotated[int, typer.Option(min=1, help="Runs of each policy under each load.")]


@app.command()
def run(
    seeds: Seeds = 5,
    minutes: Annotated[
        float, typer.Option(min=0, help="Start no run after this time; the next call resumes. 0: no limit.")
    ] = 0,
    journal: Journal = Path("out/study/runs.jsonl"),
    clock: Annotated[float, typer.Option(help="Lab seconds per real second: use the lab's value.")] = 15.0,
    provider: Annotated[str, typer.Option("--provider", "-p", help="embedded, or existing.")] = "embedded",
) -> None:
    """Do the runs that are left, then show the tables and store them for the notebook.

    Needs a running lab (labkit up). Exit 1 while runs are left, or if one stayed inconclusive.
    """
    # The notebooks' side of labkit costs a second to import; other commands must not pay for it.
    from course.study import journal as files  # noqa: PLC0415
    from course.study import plan  # noqa: PLC0415
    from course.study.record import record  # noqa: PLC0415
    from course.study.trial import SERVERS, trial  # noqa: PLC0415
    from labkit.lab import connect  # noqa: PLC0415

    path = course.root() / journal
    deadline = time.monotonic() + 60 * minutes if minutes else float("inf")
    catalog.get(provider).kubeconfig()  # raises, with the fix, where no lab runs
    lab = connect(provider=provider, clock=clock, seed=0)
    lab.reset()
    lab.apply(SERVERS)
    while (left := plan.left(files.read(path), seeds=seeds)) and time.monotonic() < deadline:
        cell = left[0]
        needs = sum(c.takes(clock) for c in left) / 60
        err.print(f"{len(left)} runs left, about {needs:.0f} min. Now: {cell}", markup=False)
        done = trial(lab, cell.choice, cell.day, seed=cell.seed, watch=False)
        made = record(done, policy=cell.policy, day=cell.day.name, seed=cell.seed, of=cell.of)
        files.append(path, made)
        doubt = f"; inconclusive, to be repeated: {made.why_not}" if made.why_not else ""
        err.print(f"  {done.bill}{doubt}", markup=False)
    runs = plan.current(files.read(path), seeds=seeds)
    if left:
        err.print(f"{len(left)} runs are left: run the same command again.", markup=False)
        raise typer.Exit(1)
    stored = course.root() / files.STORED
    files.store(stored, runs, _about(lab.session.stamp))
    err.print(f"stored in {stored}", markup=False)
    show(stored)
    if not all(run.conclusive for run in runs):
        raise typer.Exit(1)


@app.command()
def show(
    path: Annotated[Path | None, typer.Argument(help="A stored study; the course's own if left out.")] = None,
) -> None:
    """Show a stored study: means with 95 % intervals, who wins where, and the what-if model's error."""
    from course.study import error, table  # noqa: PLC0415
    from course.study.journal import stored  # noqa: PLC0415
    from course.study.setting import documented  # noqa: PLC0415
    from labkit.view.cluster import frame  # noqa: PLC0415

    runs = stored(path)
    tables = (table.rows(runs), table.winners(runs), error.rows(documented(), runs))
    for rows in tables:
        out.print(str(frame(rows, title="", stamp="")) + "\n", markup=False)


def _about(stamp: str) -> dict[str, object]:
    """What the figures were made with."""
    return {
        "command": "make study",
        "stamp": stamp,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }
