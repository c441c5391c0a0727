"""labkit grade: a class's submissions, run and judged from outside of their notebooks."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from labkit import course
from labkit.cli.notebooks import choose
from labkit_grading.cli.regrade import leave
from localcluster.cli.cluster import Name, ProviderName
from localcluster.cli.console import err, out, report

app = typer.Typer()


@app.command()
def grade(
    submissions: Annotated[
        Path, typer.Argument(help="A class as an LMS exports it: a folder or an archive.")
    ],
    into: Annotated[Path, typer.Option("--out", help="The report's folder; a run that was stopped goes on.")],
    notebooks: Annotated[
        list[str] | None, typer.Option("--notebook", "-b", help="Numbers such as 05; all if left out.")
    ] = None,
    rubric: Annotated[
        Path | None, typer.Option(help="What checks are worth; a point each if left out.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="The key to sign with; your own if left out.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Students at a time; what the machine carries if left out.")
    ] = None,
    provider: ProviderName = "embedded",
    name: Name = None,
    notebook_limit: Annotated[
        float, typer.Option(min=10, help="Seconds that one notebook may take; its cells, a third of that.")
    ] = 900.0,
    student_limit: Annotated[
        float, typer.Option(min=10, help="Seconds that all notebooks of one student may take.")
    ] = 7200.0,
    trust: Annotated[
        bool, typer.Option("--trust-submissions", help="Accept what this platform can't enforce.")
    ] = False,
) -> None:
    """Run a class's submissions on clusters of the grader's own, and grade them from what it recorded.

    Each notebook runs in a sandbox without network and without files but its student's. What it asks of the
    lab, the grader does and records outside; verdicts follow from that, never from what a notebook says.

    Several students are run at a time: each worker has a cluster of its own, and whoever is run next finds
    it empty, or a new one where that is not enough. How many workers, and why, is said at the start. Results
    are written as they come. The same command goes on where one was stopped, by Ctrl-C or kill -9; with
    another --provider or --name it runs everybody again. To run a student again, delete their file of
    evidence. labkit regrade weighs evidence anew.

    With --provider kind or existing (--name: which lab, or context) the cluster is one that is there, and the
    class its guest: one student at a time, in namespace llm-lab, which must hold nobody's work, and is left
    empty. What a notebook asks for is done with a token that may do no more than notebooks need; a quota, Pod
    Security and a network policy hold its pods. Notebooks that change a cluster itself, its nodes or its
    APIs, are refused there by name.

    What platforms export is taken as `labkit collect --help` says; what was handed in is kept in originals/.
    Work that can't be taken "needs a person" and has no score in grades.csv: never an empty submission.

    Exit 1 where a student could not be graded, or something could not be judged for reasons of ours; else 3
    where somebody's work, or a file that belongs to nobody, needs a person.
    """
    # A second of imports that other commands must not pay for.
    from labkit_grading import room  # noqa: PLC0415
    from labkit_grading.judging import seal  # noqa: PLC0415
    from labkit_grading.kernel import jail  # noqa: PLC0415
    from labkit_grading.report.write import Graded, Growing  # noqa: PLC0415
    from labkit_grading.run import run  # noqa: PLC0415
    from labkit_grading.sites.site import Site  # noqa: PLC0415
    from labkit_grading.sitting import Patience  # noqa: PLC0415
    from labkit_grading.submissions.intake import take_in  # noqa: PLC0415
    from labkit_grading.submissions.originals import ORIGINALS  # noqa: PLC0415
    from labkit_grading.submissions.released import assignment  # noqa: PLC0415
    from labkit_grading.verbs import asked  # noqa: PLC0415

    site = Site.chosen(provider, name)
    room.refuse_unless(trusted=trust, site=site)
    for line in room.unenforced(site):
        err.print(f"not enforced: {line}", markup=False)
    jail.refuse_without()
    folder, place = course.root(), into.resolve()
    chosen = choose(notebooks or [], folder / "notebooks")
    wanted = assignment(folder, chosen)
    take_in(submissions)  # raises before anything is made
    asked.refuse_beyond(wanted.notebooks)
    asked.refuse_beyond_there(wanted.notebooks, site, folder)
    names = [path.stem for path in chosen]
    made = room.furnish(folder, place, seal.key(key), rubric=rubric, notebooks=names)
    intake = take_in(submissions, keep=place / ORIGINALS)
    patience = Patience(notebook_limit / 3, notebook_limit, student_limit)
    made = replace(made, patience=patience, site=site)
    done = Graded((), {})
    with closing(run(made, intake, wanted, tell=report, workers=workers)) as bundles:
        grown = Growing(place, made.key)
        for bundle in bundles:
            done = grown.add(bundle)
    out.print(str(place / "index.html"), markup=False)
    for stray in intake.strays:
        err.print(f"nobody's: {stray}", markup=False)
    leave(done.sheets, failed=done.failed, strays=intake.strays)
