"""labkit release: the learner's edition of the course."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit import course
from labkit.cli.console import err, out

app = typer.Typer()


@app.command()
def release(
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", help="A new or empty folder, or an older edition.")
    ],
) -> None:
    """Make the learner's edition: a folder to hand out, with the exercises and without their solutions.

    In each notebook, what stands between ### BEGIN SOLUTION and ### END SOLUTION goes; the stub stays. Above
    each exercise stands a folded hint, which is that of its check. Cells carry nbgrader's marks: an answer is
    a solution cell, each check is a locked cell that gives 1 or 0. With nbgrader: notebooks/ as source/NAME,
    nbgrader generate_assignment NAME --ClearSolutions.enabled=False. Files under manifests/*/exercises are
    there, those under manifests/*/solutions are not; nor are the tests. What only authors need of README.md
    and Makefile stands between BEGIN AUTHORS and END AUTHORS, and stays here.

    Learners work in it as you do here: make jupyter. Try it: cd OUT && labkit notebooks run 00

    An older edition in OUT is replaced, unless somebody worked in it. Nothing else is ever overwritten.
    """
    from labkit.notebooks import release as releases  # noqa: PLC0415 - nbformat takes a while to import

    made = releases.release(course.root(), folder)
    out.print(str(made.folder), markup=False)
    err.print(f"{len(made.notebooks)} notebooks, {made.files} files; no solutions.", markup=False)
