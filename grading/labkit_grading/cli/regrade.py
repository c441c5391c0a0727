"""labkit regrade: grades a class again from its evidence, without a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from localcluster.cli.console import FOR_A_PERSON, err, out, report

if TYPE_CHECKING:  # matplotlib takes a while to import
    from labkit_grading.judging.sheet import Sheet

app = typer.Typer()


@app.command()
def regrade(
    folder: Annotated[Path, typer.Argument(metavar="REPORT", help="The report's folder of a graded class.")],
    rubric: Annotated[
        Path | None, typer.Option(help="A new rubric, saved as REPORT/rubric.toml; default: that file.")
    ] = None,
    submitted: Annotated[
        Path | None, typer.Option(help="CSV student,timestamp; kept as REPORT/submitted.csv.")
    ] = None,
    manual: Annotated[
        Path | None,
        typer.Option(
            help="CSV student,id,points,comment: manual questions, checks that need a person; kept as "
            "REPORT/manual.csv."
        ),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="The key that the evidence was signed with; default: your own.")
    ] = None,
) -> None:
    """Grade again from evidence: other weights, lateness, manual questions. Needs no cluster; runs nothing.

    Each verdict is computed again from what the grader recorded; evidence with an invalid signature is left
    out and listed. Writes grades.csv (nbgrader's columns), grades.json, junit.xml, index.html, and for each
    student feedback.html and results.json (Gradescope). The same evidence and rubric give the same files.

    Times and points that were given once are kept: a new row replaces the one about the same student (and
    question), all others stay. A file with a mistake (an unknown name or question, points that are no number,
    negative or too many) changes nothing. If lateness counts, students whose time is not known are named.

    Exit status 1: a student could not be graded, or something could not be judged through no fault of a
    student; else 3: some work, or a file without a student's name, needs a person.
    """
    from labkit_grading.judging import seal  # noqa: PLC0415
    from labkit_grading.report.write import Added, write  # noqa: PLC0415 - matplotlib takes a while to import
    from labkit_grading.submissions.collect import strays  # noqa: PLC0415

    done = write(folder, seal.key(key), added=Added(submitted, manual, rubric), tell=report)
    out.print(str(folder / "index.html"), markup=False)
    unjudged = sum(len(sheet.unjudged) for sheet in done.sheets)
    flagged = sum(sheet.flagged for sheet in done.sheets)
    err.print(f"{len(done.sheets)} students, {flagged} flagged, {unjudged} checks not judged", markup=False)
    for name, why in done.failed.items():
        err.print(f"{name}: not graded. {why}", markup=False)
    tell_untimed(done.untimed)
    for line in done.idle:
        err.print(f"points not used: {line}", markup=False)
    leave(done.sheets, failed=done.failed, strays=strays(folder))


def tell_untimed(names: Sequence[str]) -> None:
    """Name the students whose time of submission is not known, where lateness counts."""
    if names:
        err.print(f"time of submission not known, not counted as late: {', '.join(names)}", markup=False)


def leave(sheets: Sequence[Sheet], *, failed: Mapping[str, str], strays: Sequence[str]) -> None:
    """Name who needs a person, and end with the status that says so."""
    names = [sheet.student for sheet in sheets if sheet.for_a_person]
    if names:
        err.print(f"needs a person: {', '.join(names)}", markup=False)
    if failed or any(sheet.unjudged for sheet in sheets):
        raise typer.Exit(1)
    if names or strays:
        raise typer.Exit(FOR_A_PERSON)
