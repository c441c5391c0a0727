"""Where output goes: updated in place in a notebook, line by line in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from IPython.core.getipython import get_ipython
from IPython.display import display

Bundle = dict[str, Any] | tuple[dict[str, Any], dict[str, Any]]
"""MIME type → data, and optionally MIME type → metadata, as IPython takes it."""


class Showable(Protocol):
    """Anything with a plain and a rich form."""

    def _repr_mimebundle_(self, **_: Any) -> Bundle: ...


def in_notebook() -> bool:
    """Whether this runs in a kernel, so that output can be rich and change in place."""
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


_elsewhere: ContextVar[Callable[[Showable], object] | None] = ContextVar("elsewhere", default=None)


@contextmanager
def shown_to(sink: Callable[[Showable], object]) -> Iterator[None]:
    """Within the block, pass what would be shown to a function instead; changes of a `Place` are left out."""
    token = _elsewhere.set(sink)
    try:
        yield
    finally:
        _elsewhere.reset(token)


def show(thing: Showable) -> None:
    """Show once: rich in a notebook, text elsewhere."""
    if (sink := _elsewhere.get()) is not None:
        sink(thing)
    elif in_notebook():
        display(thing)
    else:
        print(thing)  # noqa: T201 - this is the terminal's way of showing


def _plain(thing: Showable) -> Any:
    bundle = thing._repr_mimebundle_()
    return (bundle[0] if isinstance(bundle, tuple) else bundle)["text/plain"]


class Place:
    """A spot for output that changes: updated in place in a notebook, printed on change elsewhere."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._last = ""

    def show(self, thing: Showable) -> None:
        """Replace what is shown here, if it has changed."""
        text = _plain(thing) if in_notebook() else str(thing)
        if text == self._last or _elsewhere.get() is not None:
            return
        self._last = text
        if not in_notebook():
            print(text)  # noqa: T201 - as above
        elif self._handle is None:
            self._handle = display(thing, display_id=True)
        else:
            self._handle.update(thing)
