"""The command line: `labkit --help` tells what there is to do, in the order in which one does it."""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from labkit.cli import cluster, status
from labkit.cli.console import err, fail, refused_by_the_system
from labkit.errors import LabError

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

app = typer.Typer(
    name="labkit",
    help=(
        "A lab for autoscaling LLM inference with Kubernetes, on this machine.\n\n"
        "First: labkit up. Then: labkit kubectl get nodes. At the end: labkit down."
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.registered_commands += cluster.app.registered_commands + status.app.registered_commands

ALONE = ("collect", "grade", "regrade", "release", "validate", "doctor")
"""Commands whose module is imported for them only."""
GROUPS = ("toolchain", "node", "image", "load", "gpu", "notebooks", "checks", "study")


def add_groups(words: list[str]) -> None:
    """Add the group or the command that the line names, or all of them where it names none of ours.

    What `labkit image` imports takes longer than a tenth of `labkit up`, so `up` does without.
    """
    first = next((word for word in words if not word.startswith("-")), "")
    commands = {(c.name or (c.callback.__name__ if c.callback else "")) for c in app.registered_commands}
    ours = (*ALONE, *GROUPS)
    for name in (first,) if first in ours else () if first in commands else ours:
        added = import_module(f"labkit.cli.{name}").app
        if name in GROUPS:
            app.add_typer(added)
        else:
            app.registered_commands += added.registered_commands


def main() -> None:
    """Entry point: errors in one shape, the exit status of each command, Ctrl-C without a traceback."""
    add_groups(sys.argv[1:])
    try:
        app()  # ends the process itself, with the status that the command chose
    except LabError as error:
        sys.exit(fail(error))
    except OSError as error:
        sys.exit(fail(refused_by_the_system(error)))
    except SystemExit as leave:
        if leave.code == INTERRUPTED:
            err.print("interrupted")
        raise
