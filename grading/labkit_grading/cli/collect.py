"""labkit collect: a class's submissions, cleaned and restored, ready to be run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit import course
from labkit.cli.notebooks import choose
from labkit_grading.submissions.remark import PERSON
from localcluster.cli.console import FOR_A_PERSON, err, out, report

app = typer.Typer()


@app.command()
def collect(
    submissions: Annotated[
        Path, typer.Argument(help="A class's submissions, as an LMS exports them: a folder or an archive.")
    ],
    into: Annotated[Path, typer.Option("--out", help="A new folder, or one of an earlier labkit collect.")],
    notebooks: Annotated[
        list[str] | None, typer.Option("--notebook", "-b", help="Numbers such as 05; default: all.")
    ] = None,
) -> None:
    """Read a class's submissions: a clean copy for each student, and a line for every irregularity.

    SUBMISSIONS is what you download from your platform, unpacked or not, with any folders around it: Canvas,
    Moodle, Blackboard, Gradescope (with its submission_metadata.yml), nbgrader's exchange or its submitted
    folder, Google Classroom, Teams, clones of GitHub Classroom; or a folder or archive (zip, tar.gz) in which
    each student has a folder or an archive with their name. docs/submissions.md shows each layout.

    Only the solution cells are taken from a notebook, identified by nbgrader's marks, ids, or position;
    checks, parameters and all other cells are replaced by the course's own. Of other files, only those in
    manifests/*/exercises are taken. Nothing is run. What was handed in is kept unchanged in originals/.

    Work that can't be read (a damaged notebook, or two candidates for the same one) is never treated as an
    empty submission: it "needs a person", with the reason, in collected.md and collected.json. Links, paths
    that lead out of the submission, and zip bombs are refused and listed. None of this affects other
    students.

    Exit status 3: some work, or a file without a student's name, needs a person.
    """
    from labkit_grading.submissions.collect import PAGE, strays  # noqa: PLC0415 - nbformat takes a while
    from labkit_grading.submissions.collect import collect as take  # noqa: PLC0415
    from labkit_grading.submissions.released import assignment  # noqa: PLC0415

    folder = course.root()
    wanted = assignment(folder, choose(notebooks or [], folder / "notebooks"))
    done = take(submissions, into.resolve(), wanted, tell=report)
    out.print(str(into.resolve() / PAGE), markup=False)
    flagged, open_ = sum(one.flagged for one in done), [one.student for one in done if one.status == PERSON]
    told = f"{len(done)} submissions, {flagged} flagged, {len(open_)} need a person"
    err.print(f"{told}; notebooks: {', '.join(wanted.notebooks)}", markup=False)
    if open_:
        err.print(f"needs a person: {', '.join(open_)}", markup=False)
    for stray in strays(into.resolve()):
        err.print(f"belongs to no student: {stray}", markup=False)
    if open_ or strays(into.resolve()):
        raise typer.Exit(FOR_A_PERSON)
