"""How the command line talks: progress on standard error, colours on terminals, errors in one shape."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence

from rich.console import Console

from labkit.errors import LabError

err = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False, soft_wrap=True)

_SPACE = "Free some space (`labkit image prune`, `labkit toolchain prune`), or use another disk: LABKIT_HOME."
_RIGHTS = "Use a folder of your own: LABKIT_HOME for labs, LABKIT_CACHE for programs and images."
_SYSTEM = {
    errno.ENOSPC: ("The disk is full.", _SPACE),
    errno.EDQUOT: ("Your quota on that disk is used up.", _SPACE),
    errno.EACCES: ("The file or folder belongs to somebody else.", _RIGHTS),
    errno.EPERM: ("The file or folder belongs to somebody else.", _RIGHTS),
    errno.EROFS: ("That disk is read-only.", _RIGHTS),
    errno.EMFILE: ("This shell may open only few files at once.", "`ulimit -n 4096`, then again."),
}


def report(line: str) -> None:
    """A line of progress; never on standard output, which belongs to results."""
    err.print(line, style="dim", markup=False)


def columns(rows: Sequence[Sequence[str]]) -> None:
    """A table for people, on standard output, that is still whole when it goes through a pipe."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.print(line.rstrip(), markup=False)


def refused_by_the_system(error: OSError) -> LabError:
    """What the operating system refused, as an error that a person can act on."""
    where = f" ({error.filename})" if error.filename else ""
    cause, fix = _SYSTEM.get(error.errno or 0, ("", "Look at the path, its permissions and its disk."))
    return LabError(f"The system refused: {error.strerror or error}{where}.", cause=cause, fix=fix)


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
