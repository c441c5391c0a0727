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
        bool, typer.Option("--update", help="Update the unchanged files of an older edition.")
    ] = False,
) -> None:
    """Make the learner's edition: a folder to hand out, with the exercises and without their solutions.

    In each notebook, the text between ### BEGIN SOLUTION and ### END SOLUTION is removed; the stub stays.
    Above each exercise is a folded hint, the one of its check. Cells have nbgrader's metadata: an answer is
    a solution cell, each check is a locked cell that gives 1 or 0. With nbgrader: notebooks/ as source/NAME,
    nbgrader generate_assignment NAME --ClearSolutions.enabled=False. Files in manifests/*/exercises are
    included; those in manifests/*/solutions and the tests are not, nor is the text between BEGIN AUTHORS and
    END AUTHORS in README.md and Makefile.

    Learners work in it as you do here: make jupyter. Try it: cd OUT && labkit notebooks run 00

    An older edition in OUT is replaced, unless someone has worked in it. Nothing else is ever overwritten.
    With --update, files that were changed or added there are kept; all others are updated.
    """
    from labkit_grading.release import learn  # noqa: PLC0415 - nbformat takes a while to import
    from labkit_grading.release import release as releases  # noqa: PLC0415 - as above

    root = learn.author(course.root()) if update else course.root()
    if update:
        done = learn.update(root, folder.resolve())
        err.print(f"{len(done.renewed)} files updated to the course's current version.", markup=False)
        for name in done.yours:
            err.print(f"  kept, because you changed it: {name}", markup=False)
        if done.yours:
            report("To get the course's version of a file: move yours away, then run the same command again.")
        return
    made = releases.release(root, folder)
    out.print(str(made.folder), markup=False)
    err.print(f"{len(made.notebooks)} notebooks, {made.files} files; no solutions.", markup=False)
