"""labkit grade: a class's submissions, run and judged from outside of their notebooks."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from labkit import course
from labkit.cli.notebooks import choose
from labkit_grading.cli.regrade import leave, tell_untimed
from localcluster.cli.cluster import Name, ProviderName
from localcluster.cli.console import err, out, report

app = typer.Typer()


@app.command()
def grade(
    submissions: Annotated[
        Path, typer.Argument(help="A class's submissions, as an LMS exports them: a folder or an archive.")
    ],
    into: Annotated[Path, typer.Option("--out", help="The report's folder; a stopped run continues.")],
    notebooks: Annotated[
        list[str] | None, typer.Option("--notebook", "-b", help="Numbers such as 05; default: all.")
    ] = None,
    rubric: Annotated[Path | None, typer.Option(help="Points for each check; default: one each.")] = None,
    key: Annotated[Path | None, typer.Option(help="The key to sign with; default: your own.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Students at a time; default: what fits.")
    ] = None,
    provider: ProviderName = "embedded",
    name: Name = None,
    notebook_limit: Annotated[
        float, typer.Option(min=10, help="Limit for one notebook in seconds; for a cell, a third of it.")
    ] = 900.0,
    student_limit: Annotated[
        float, typer.Option(min=10, help="Limit for all notebooks of one student, in seconds.")
    ] = 7200.0,
    trust: Annotated[
        bool, typer.Option("--trust-submissions", help="Accept what this platform can't enforce.")
    ] = False,
) -> None:
    """Run a class's submissions on clusters of the grader's own, and grade them from what it recorded.

    Each notebook runs in a sandbox without a network, with no files but its student's. The grader carries out
    what the notebook asks of the lab, and records it from outside; verdicts are based on these records only.

    Several students are graded at a time: each worker has its own cluster, which is emptied, or replaced if
    that is not enough, before the next student. The number of workers, and why, is shown at the start.
    Results are written as they come in. After Ctrl-C or kill -9, the same command continues; with another
    --provider or --name it grades everyone again. To grade one student again, delete their evidence file.
    labkit regrade computes the scores again from the evidence.

    With --provider kind or existing (--name: which lab, or context), an existing cluster is used: one student
    at a time, in namespace llm-lab, which must not contain anyone's work and is emptied at the end. Notebooks
    use a token that allows only what they need, and their pods are under a quota, Pod Security and a network
    policy. Notebooks that change the cluster itself, its nodes or its APIs, are refused there by name.

    Notebooks that need an optional part of a lab, such as KEDA, are left out while its programs are not
    built, and the command says so. Name such a notebook with -b, or in the rubric, and they are built first.

    SUBMISSIONS is read as `labkit collect --help` describes; what was handed in is kept in originals/. Work
    that can't be read "needs a person" and has no score in grades.csv: it is never an empty submission.

    Exit status 1: a student could not be graded, or something could not be judged through no fault of a
    student; else 3: some work, or a file without a student's name, needs a person.
    """
    # A second of imports that other commands must not pay for.
    from labkit_grading import choice, room  # noqa: PLC0415
    from labkit_grading.judging import seal  # noqa: PLC0415
    from labkit_grading.kernel import jail  # noqa: PLC0415
    from labkit_grading.report.write import RUBRIC, Graded, Growing  # noqa: PLC0415
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
    counted = rubric or (place / RUBRIC)
    chosen = choice.gradable(chosen, site, named=bool(notebooks), rubric=counted, tell=report)
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
        err.print(f"belongs to no student: {stray}", markup=False)
    tell_untimed(done.untimed)
    leave(done.sheets, failed=done.failed, strays=intake.strays)
