"""The command line: `labkit --help` lists the commands in the order in which they are used."""

from __future__ import annotations

from importlib.util import find_spec

import typer

import localcluster.cli
from labkit.cli.menu import Menu
from localcluster.cli.entry import add, run

app = typer.Typer(
    name="labkit",
    help=(
        "A lab for autoscaling LLM inference with Kubernetes, on this machine.\n\n"
        "To work through the course: labkit jupyter.\n\n"
        "Step by step: labkit up, then labkit kubectl get nodes; at the end, labkit down.\n\n"
        "Commands use the lab called `lab`, or the one named by --name or the variable LABKIT_LAB."
    ),
    cls=Menu,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.registered_commands += localcluster.cli.COMMANDS

ALONE = {name: f"labkit.cli.{name}" for name in ("url", "jupyter", "solution", "validate")}
"""Commands, by the module that is imported for them only."""
if find_spec("labkit_grading"):
    ALONE |= {
        name: f"labkit_grading.cli.{name}"
        for name in ("collect", "compare", "grade", "jupyter", "regrade", "release", "similar", "solution")
    }
GROUPS = localcluster.cli.GROUPS | {name: f"labkit.cli.{name}" for name in ("load", "notebooks")}
ALONE |= {"doctor": "course.cli.doctor", "why": "course.cli.why", "fields": "localcluster.cli.fields"}
GROUPS |= {name: f"course.cli.{name}" for name in ("checks", "study")}


def add_groups(words: list[str]) -> None:
    """Add what the line names, or everything (`labkit --help`)."""
    add(app, words, groups=GROUPS, alone=ALONE)


def main() -> None:
    """Entry point."""
    run(app, add_groups)
