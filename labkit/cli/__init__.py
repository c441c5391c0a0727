"""The command line: `labkit --help` tells what there is to do, in the order in which one does it."""

from __future__ import annotations

import sys

import typer

from labkit.cli import cluster, image, load, notebooks, toolchain
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
for group in (cluster,):
    app.registered_commands += group.app.registered_commands
app.add_typer(toolchain.app)
app.add_typer(image.app)
app.add_typer(load.app)
app.add_typer(notebooks.app)


def main() -> None:
    """Entry point: errors in one shape, the exit status of each command, Ctrl-C without a traceback."""
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
