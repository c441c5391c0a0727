"""labkit release: the learner's edition of the course."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit import course
from localcluster.cli.console import err, out, report

app = typer.Typer()


@app.command()
def release(
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", help="A new or empty folder, or an older edition.")
    ],
    update: Annotated[
        bool, typer.Option("--update", help="Renew the files of an older edition that nobody touched.")
    ] = False,
) -> None:
    """Make the learner's edition: a folder to hand out, with the exercises and without their solutions.

    In each notebook, what stands between ### BEGIN SOLUTION and ### END SOLUTION goes; the stub stays. Above
    each exercise stands a folded hint, which is that of its check. Cells carry nbgrader's marks: an answer is
    a solution cell, each check is a locked cell that gives 1 or 0. With nbgrader: notebooks/ as source/NAME,
    nbgrader generate_assignment NAME --ClearSolutions.enabled=False. Files under manifests/*/exercises are
    there, those under manifests/*/solutions are not; nor are the tests. What only authors need of README.md
    and Makefile stands between BEGIN AUTHORS and END AUTHORS, and stays here.

    Learners work in it as you do here: make jupyter. Try it: cd OUT && labkit notebooks run 00

    An older edition in OUT is replaced, unless somebody worked in it. Nothing else is ever overwritten. With
    --update, what somebody changed or added stays as it is, and all else becomes that of the course by now.
    """
    from labkit_grading.release import learn  # noqa: PLC0415 - nbformat takes a while to import
    from labkit_grading.release import release as releases  # noqa: PLC0415 - as above

    root = learn.author(course.root()) if update else course.root()
    if update:
        done = learn.update(root, folder.resolve())
        err.print(f"{len(done.renewed)} files are as the course has them by now.", markup=False)
        for name in done.yours:
            err.print(f"  kept, since you changed it: {name}", markup=False)
        if done.yours:
            report("To take the course's version of one: move yours away, then the same command again.")
        return
    made = releases.release(root, folder)
    out.print(str(made.folder), markup=False)
    err.print(f"{len(made.notebooks)} notebooks, {made.files} files; no solutions.", markup=False)
