"""Where output goes: in place in a notebook, line by line in a terminal.

Refuses to hide an error: one of labkit's own is shown short (what, cause, fix, the line of the cell), and
still fails the cell, so papermill sees it.
"""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from IPython.core.getipython import get_ipython
from IPython.display import display

from labkit.errors import LabError

_CELLS = str(Path(tempfile.gettempdir()) / "ipykernel_")  # where a kernel says that its cells lie
RED, BOLD, PLAIN = "\033[31m", "\033[1m", "\033[0m"


class Showable(Protocol):
    """Anything with a plain and a rich form."""

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]: ...


def in_notebook() -> bool:
    """Whether a kernel listens, so that output can be rich and change in place."""
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def show(thing: Showable) -> None:
    """Show once: rich in a notebook, text elsewhere."""
    if in_notebook():
        display(thing)
    else:
        print(thing)  # noqa: T201 - this is the terminal's way of showing


class Place:
    """One spot of output that changes: updated in place in a notebook, printed on change elsewhere."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._last = ""

    def show(self, thing: Showable) -> None:
        """Replace what stands here, if it looks different now."""
        text = str(thing)
        if text == self._last:
            return
        self._last = text
        if not in_notebook():
            print(text)  # noqa: T201 - as above
        elif self._handle is None:
            self._handle = display(thing, display_id=True)
        else:
            self._handle.update(thing)


def short_errors() -> None:
    """In IPython, show each `LabError` as a message for people instead of a traceback."""
    shell = get_ipython()
    if shell is not None:
        shell.set_custom_exc((LabError,), _show_error)


def error_text(error: LabError, *, line: str = "") -> str:
    """The message as a cell shows it."""
    parts = [f"{RED}{BOLD}{error.what}{PLAIN}"]
    parts += [f"{BOLD}Likely cause:{PLAIN} {error.cause}"] if error.cause else []
    parts += [f"{BOLD}Fix:{PLAIN} {error.fix}"] if error.fix else []
    parts += [f"(in this cell: {line})"] if line else []
    return "\n".join(parts)


def _show_error(
    shell: Any,
    kind: type[LabError],
    error: LabError,
    trace: TracebackType,
    tb_offset: int | None = None,  # noqa: ARG001 - IPython hands it over
) -> list[str]:
    lines = [error_text(error, line=_line_of_cell(trace))]
    shell._showtraceback(kind, error.what, lines)  # noqa: SLF001 - the hook that kernels override
    return lines


def _line_of_cell(trace: TracebackType) -> str:
    cells = [f for f in traceback.extract_tb(trace) if f.filename.startswith(("<ipython", _CELLS))]
    return (cells[0].line or "").strip() if cells else ""
