"""labkit compare: what changed between two gradings of a class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from localcluster.cli.console import err, out

app = typer.Typer()


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A report's folder, or its grades.json.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Another one of the same class.")],
) -> None:
    """Compare two gradings: for each student and check whose points or result changed, the old and the new.

    Before you regrade, keep a copy of REPORT/grades.json to compare with. Nothing is written.
    """
    from labkit_grading.report import difference  # noqa: PLC0415 - needs a while to import

    before, after = difference.read(old), difference.read(new)
    found = list(difference.changes(before, after))
    for one in found:
        out.print(f"{one.student}: {one.check}: {one.old} → {one.new}", markup=False)
    err.print(f"changed: {len({one.student for one in found})} of {len({*before, *after})} students")
