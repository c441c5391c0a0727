"""What a cell shows when something goes wrong: a message for people, not a stack trace.

For labkit's own errors, the message has what happened, cause, fix, and the line of the cell. For what Python
raises in a line of a cell, it has the usual reason: an answer is missing, or a cell above has not run. Either
way the cell fails, so papermill sees it. An error from inside a library keeps its stack trace.
"""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from IPython.core.getipython import get_ipython

from labkit.errors import LabError, typed

SLIPS = (NameError, TypeError, ValueError, IndexError, KeyError, AttributeError, ZeroDivisionError)
"""What Python raises when a cell gets something other than it expects."""

RED, BOLD, PLAIN = "\033[31m", "\033[1m", "\033[0m"
_CELLS = ("<ipython", str(Path(tempfile.gettempdir()) / "ipykernel_"))  # cells' file names in IPython
_FROM_THE_TOP = "Run the notebook from its top to here: Run > Run All Above Selected Cell."
_CONNECT = (
    "Run the cells at the top, down to labkit.connect(). To go on with what you have built, leave out "
    "lab.reset(): it empties the lab."
)


def short_errors() -> None:
    """In IPython, show messages instead of stack traces for as long as the kernel runs."""
    shell = get_ipython()
    if shell is not None:
        load_ipython_extension(shell)


def load_ipython_extension(shell: Any) -> None:
    """Called by kernels of `make jupyter`, so that even a reader who starts in the middle gets messages."""
    shell.set_custom_exc((LabError, *SLIPS), _show)


def error_text(error: LabError, *, line: str = "") -> str:
    """The text of an error as a cell shows it."""
    parts = [f"{RED}{BOLD}{error.what}{PLAIN}"]
    parts += [f"{BOLD}Likely cause:{PLAIN} {error.cause}"] if error.cause else []
    parts += [f"{BOLD}Fix:{PLAIN} {error.fix}"] if error.fix else []
    told = typed("\n".join(parts))
    return f"{told}\n(in this cell: {line})" if line else told


def explained(error: BaseException) -> LabError:
    """What Python raised in a cell, with the usual reason."""
    what = f"{type(error).__name__}: {error}"
    if "ellipsis" in what.lower():
        cause = "`...` is still in place of an answer, in this cell or above it."
        return LabError(what, cause=cause, fix="Write your answer in its place, and run that cell again.")
    if isinstance(error, NameError):
        cause = f"The cell that makes `{error.name}` has not run since the kernel started."
        other = f"Find the cell with `{error.name} =` above and run it; or: {_FROM_THE_TOP}"
        return LabError(what, cause=cause, fix=_CONNECT if error.name == "lab" else other)
    cause = "A mistake in this cell; or a cell above it has not run, or the cluster has changed since then."
    return LabError(what, cause=cause, fix=f"Look at the line below. If it is not yours: {_FROM_THE_TOP}")


def _show(
    shell: Any,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType,
    tb_offset: int | None = None,
) -> list[str]:
    told = error if isinstance(error, LabError) else explained(error) if _of_the_cell(error, trace) else None
    if told is None:
        lines = list(shell.InteractiveTB.structured_traceback(kind, error, trace, tb_offset=tb_offset))
    else:
        lines = [error_text(told, line=_line_of_cell(trace))]
    said = told.what if isinstance(error, LabError) and told else error
    shell._showtraceback(kind, said, lines)  # noqa: SLF001 - the hook that kernels override
    return lines


def _of_the_cell(error: BaseException, trace: TracebackType) -> bool:
    """Whether a line of a cell raised it, or a `...` that a cell passed on did."""
    deepest = traceback.extract_tb(trace)[-1]
    return deepest.filename.startswith(_CELLS) or "ellipsis" in str(error).lower()


def _line_of_cell(trace: TracebackType) -> str:
    cells = [frame for frame in traceback.extract_tb(trace) if frame.filename.startswith(_CELLS)]
    return (cells[0].line or "").strip() if cells else ""
