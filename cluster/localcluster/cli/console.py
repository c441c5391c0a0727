"""How the command line talks: progress on standard error, colours on terminals, errors in one shape."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from localcluster.errors import LabError, commands_of

FOR_A_PERSON = 3
"""Exit status of a command that succeeded, but left work that needs a person."""

_SPACE = (
    "Free some space (`localcluster image prune`, `localcluster toolchain prune`), or set "
    "LABKIT_HOME to a folder "
    "on another disk."
)
_RIGHTS = "Use your own folder: set LABKIT_HOME for labs, LABKIT_CACHE for programs and images."
_SYSTEM = {
    errno.ENOSPC: ("The disk is full.", _SPACE),
    errno.EDQUOT: ("Your quota on that disk is used up.", _SPACE),
    errno.EACCES: ("You don't have permission for this file or folder.", _RIGHTS),
    errno.EPERM: ("You don't have permission for this file or folder.", _RIGHTS),
    errno.EROFS: ("That disk is read-only.", _RIGHTS),
    errno.EMFILE: ("This shell's limit on open files is too low.", "Run `ulimit -n 4096`, then try again."),
}


class Terminal(Console):
    """A console that shows our commands under the name of the program that was started."""

    program = "localcluster"

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; texts name the commands of `program`."""
        texts = (commands_of(self.program, each) if isinstance(each, str) else each for each in objects)
        super().print(*texts, **options)


err = Terminal(stderr=True, highlight=False, soft_wrap=True)
out = Terminal(highlight=False, soft_wrap=True)


def report(line: str) -> None:
    """A line of progress; never on standard output, which belongs to results."""
    err.print(line, style="dim", markup=False)


def columns(rows: Sequence[Sequence[str]]) -> None:
    """A table for people, on standard output, that is not cut off in a pipe."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.print(line.rstrip(), markup=False)


def refused_by_the_system(error: OSError) -> LabError:
    """An error of the operating system, with a cause and a fix."""
    where = f" ({error.filename})" if error.filename else ""
    cause, fix = _SYSTEM.get(error.errno or 0, ("", "Check the path, its permissions and its disk."))
    return LabError(f"The operating system refused: {error.strerror or error}{where}.", cause=cause, fix=fix)


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
