"""labkit similar: answers and files that few students of a class share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit import course
from labkit.cli.notebooks import choose
from localcluster.cli.console import err, out

app = typer.Typer()


@app.command()
def similar(
    submissions: Annotated[
        Path, typer.Argument(help="A class's submissions, as an LMS exports them: a folder or an archive.")
    ],
    notebooks: Annotated[
        list[str] | None, typer.Option("--notebook", "-b", help="Numbers such as 05; default: all.")
    ] = None,
) -> None:
    """List answers and exercise files that a few students share and most others do not.

    Compared are cells without comments, layout and the names that a student chose, and YAML without comments.
    A person decides what it means: a right answer can be the same by itself, and in a small class more are.
    Nothing is run, nothing is written, and nothing leaves this machine; no grade depends on it.
    """
    from labkit_grading.submissions.handed_in import clean  # noqa: PLC0415 - nbformat takes a while
    from labkit_grading.submissions.intake import take_in  # noqa: PLC0415
    from labkit_grading.submissions.released import assignment  # noqa: PLC0415
    from labkit_grading.submissions.similar import shared  # noqa: PLC0415

    folder = course.root()
    wanted = assignment(folder, choose(notebooks or [], folder / "notebooks"))
    every = [clean(one, wanted) for one in take_in(submissions).submissions]
    found = shared(every, wanted)
    for one in found:
        out.print(str(one), markup=False)
    err.print(f"{len(every)} submissions, {len(found)} answers that a few of them share", markup=False)
