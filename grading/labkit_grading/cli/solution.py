"""labkit solution: the course's answer to an exercise, to compare with."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit import course
from localcluster.cli.console import out

app = typer.Typer()


@app.command()
def solution(
    check: Annotated[str, typer.Argument(help="The exercise's check, such as 02.deployment.")],
    diff: Annotated[bool, typer.Option("--diff", help="For files: diff from yours to the course's.")] = False,
) -> None:
    """Show the course's answer to an exercise, to compare with yours once its check has passed."""
    from labkit_grading.release import learn, solutions  # noqa: PLC0415 - nbformat takes a while to import

    edition = learn.edition(course.root())
    for number, found in enumerate(solutions.of(check, learn.author(edition))):
        out.print(f"{'' if not number else chr(10)}# {found.place}", style="bold", markup=False)
        told = found.differences(edition) if diff else found.text
        out.print(told or "(the same as yours)", markup=False)
