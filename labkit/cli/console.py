"""How the command line talks: progress on standard error, colours on terminals, errors in one shape."""

from __future__ import annotations

import sys

from rich.console import Console

from labkit.errors import LabError

err = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False, soft_wrap=True)


def report(line: str) -> None:
    """A line of progress; never on standard output, which belongs to results."""
    err.print(line, style="dim", markup=False)


def fail(error: LabError) -> int:
    """Show what happened, the likely cause and the fix; the exit status."""
    err.print("error: ", style="bold red", end="")
    err.print(error.what, markup=False)
    if error.cause:
        err.print("cause: ", style="yellow", end="")
        err.print(error.cause, markup=False)
    if error.fix:
        err.print("fix:   ", style="green", end="")
        err.print(error.fix, markup=False)
    sys.stderr.flush()
    return error.exit_code
