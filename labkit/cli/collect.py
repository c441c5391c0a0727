"""labkit collect: a class's submissions, cleaned and restored, ready to be run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit import course
from labkit.cli.console import err, out, report
from labkit.cli.notebooks import choose

app = typer.Typer()


@app.command()
def collect(
    submissions: Annotated[
        Path, typer.Argument(help="A folder of folders or zip files, or an LMS's zip file.")
    ],
    into: Annotated[Path, typer.Option("--out", help="A new folder, or one of an earlier labkit collect.")],
    notebooks: Annotated[
        list[str] | None, typer.Option("--notebook", "-b", help="Numbers such as 05; all if left out.")
    ] = None,
) -> None:
    """Take in a class's submissions: a clean copy for each student, and a line for everything odd.

    A submission is a folder or a zip file with the student's name (Moodle's and Canvas's exports are known).
    Of each notebook only the solution cells are the student's; checks, parameters and all other cells are the
    course's own again, and of other files only manifests/*/exercises are taken. Nothing is run.

    Links, paths that lead out, archives that grow without end, broken or foreign notebooks: each becomes a
    line of collected.md, and none keeps the others from being taken in.
    """
    from labkit.grading.submissions.collect import PAGE  # noqa: PLC0415 - nbformat takes a while to import
    from labkit.grading.submissions.collect import collect as take  # noqa: PLC0415
    from labkit.grading.submissions.released import assignment  # noqa: PLC0415

    folder = course.root()
    wanted = assignment(folder, choose(notebooks or [], folder / "notebooks"))
    done = take(submissions, into.resolve(), wanted, tell=report)
    out.print(str(into.resolve() / PAGE), markup=False)
    flagged = sum(one.flagged for one in done)
    err.print(
        f"{len(done)} submissions, {flagged} flagged; notebooks: {', '.join(wanted.notebooks)}", markup=False
    )
