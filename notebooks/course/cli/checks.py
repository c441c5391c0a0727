"""labkit checks ls, labkit checks lesson: what the course holds its learner to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from course import lesson
from labkit import checks
from labkit.errors import BadInput
from localcluster.cli.console import columns, out

KINDS = ("state", "behaviour", "understanding")

app = typer.Typer(
    name="checks",
    no_args_is_help=True,
    rich_markup_mode=None,
    help=(
        "What the course checks, notebook by notebook.\n\n"
        "A check judges the state of objects (spec, status), behaviour over time (recordings, load results), "
        'or understanding (an answer or a prediction). In a notebook: lab.check("05.hpa").'
    ),
)


@app.command("ls")
def list_checks(
    notebook: Annotated[str, typer.Argument(help="A notebook's number, such as 05; all if left out.")] = "",
) -> None:
    """List the checks: what each judges, which objects it reads, and what it is handed; then count them.

    COPYING says whether an answer may be a value that the lab shows.
    """
    chosen = [check for check in checks.CHECKS.values() if check.notebook.startswith(notebook[:2])]
    if not chosen:
        known = ", ".join(dict.fromkeys(check.notebook for check in checks.CHECKS.values()))
        raise BadInput(f"There is no notebook {notebook} with checks.", fix=f"Known: {known}.")
    columns([("CHECK", "JUDGES", "ROWS", "COPYING", "READS", "TAKES"), *map(_row, chosen)])
    out.print()
    columns([("NOTEBOOK", *KINDS, "all"), *_counts(chosen)])


@app.command("lesson")
def print_lesson() -> None:
    """Print the lesson's rows, each with the notebooks and checks that teach it, as Markdown."""
    out.print(lesson.table(checks.CHECKS.values()), markup=False)


def _row(check: checks.Check) -> tuple[str, ...]:
    rows = ",".join(map(str, check.rows))
    copying = {None: "-", True: "allowed", False: "no"}[check.copying]
    return check.id, check.kind, rows or "-", copying, ", ".join(check.reads.values()), ", ".join(check.takes)


def _counts(chosen: Sequence[checks.Check]) -> list[tuple[str, ...]]:
    lines = []
    for notebook in [*dict.fromkeys(check.notebook for check in chosen), "all"]:
        kinds = Counter(check.kind for check in chosen if notebook in {check.notebook, "all"})
        lines.append((notebook, *(str(kinds[kind]) for kind in KINDS), str(kinds.total())))
    return lines
