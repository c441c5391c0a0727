"""Shows the progress of long work and the time left: a bar on a terminal, a few plain lines elsewhere.

Refuses to write to standard output, which belongs to results; and estimates no time before a fiftieth of the
work is done.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as RichProgress


@dataclass
class Task:
    """One piece of work; `total` is None if it is unknown."""

    title: str
    total: float | None
    changed: Callable[[Task], None]
    detail: str = ""
    done: float = 0.0
    began: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def advance(self, amount: float, detail: str = "") -> None:
        """Count `amount` more as done, now busy with `detail`."""
        with self._lock:  # a download's or a build's helper thread counts too
            self.done += amount
            self.detail = detail or self.detail
            self.changed(self)

    @property
    def left(self) -> str:
        """The time left in words; empty if it can't be known yet."""
        if not self.total or self.done < self.total / 50:
            return ""
        seconds = (time.monotonic() - self.began) * max(0.0, self.total - self.done) / self.done
        return f"{seconds / 60:.0f} min left" if seconds >= 90 else f"{seconds:.0f} s left"

    @property
    def status(self) -> str:
        """All of it in one line."""
        share = f" {min(100.0, 100 * self.done / self.total):.0f} %" if self.total else ""
        left = f", {self.left}" if self.left else ""
        return f"{self.title}{share}{left}" + (f" ({self.detail})" if self.detail else "")


class Screen(Protocol):
    """Where progress is shown: `Lines`, `Bar` or `Silent`."""

    def line(self, text: str) -> None:
        """Show a line that stays."""

    def update(self, task: Task, /) -> None:
        """Show how far the task is now."""

    def end(self, task: Task, /) -> None:
        """The task is over."""


class Silent:
    """Keeps the lines and shows nothing."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        """Keep it."""
        self.lines.append(text)

    def update(self, _task: Task) -> None:
        """Show nothing."""

    def end(self, _task: Task) -> None:
        """Nothing stays of a task."""


class Lines:
    """Plain lines, one as a task begins and then one every `every` seconds: for logs and CI."""

    def __init__(self, stream: TextIO, *, every: float = 10.0) -> None:
        self._stream = stream
        self._every = every
        self._last = 0.0
        self._task: Task | None = None

    def line(self, text: str) -> None:
        """Print it at once."""
        print(text, file=self._stream, flush=True)

    def update(self, task: Task) -> None:
        """Print the status, now and then."""
        if task is not self._task or time.monotonic() - self._last >= self._every:
            self._task, self._last = task, time.monotonic()
            self.line(f"  {task.status}")

    def end(self, _task: Task) -> None:
        """Nothing stays of a task."""


class Bar:
    """A bar that moves, on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False)
        self._live: RichProgress | None = None

    def line(self, text: str) -> None:
        """Print it above the bar."""
        self._console.print(text, markup=False)

    def update(self, task: Task) -> None:
        """Move the bar, which appears with its task."""
        if self._live is None:
            columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
            self._live = RichProgress(
                *columns, TextColumn("{task.fields[left]}", markup=False), console=self._console
            )
            self._live.start()
            self._live.add_task(task.title, total=task.total, left="")
        text = f"{task.left}  {task.detail}".strip()[:36]
        self._live.update(self._live.task_ids[0], completed=task.done, left=text)

    def end(self, _task: Task) -> None:
        """Remove the bar."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class Progress:
    """What the parts of the toolchain report to."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self.watchers: list[Callable[[str], None]] = []

    def note(self, text: str) -> None:
        """Show a line once; it stays on the screen."""
        self._screen.line(text)
        self._tell(text)

    @contextmanager
    def task(self, title: str, total: float | None = None) -> Iterator[Task]:
        """Show a piece of work while it lasts."""
        task = Task(title, total, self._changed)
        self._changed(task)
        try:
            yield task
        finally:
            self._screen.end(task)

    def _changed(self, task: Task) -> None:
        self._screen.update(task)
        self._tell(task.status)

    def _tell(self, status: str) -> None:
        for watcher in self.watchers:
            watcher(status)


def on(stream: TextIO | None = None) -> Progress:
    """Progress on `stream` (standard error): a bar where it is a terminal, else lines."""
    stream = stream or sys.stderr
    return Progress(Bar(stream) if stream.isatty() else Lines(stream))


def silent() -> Progress:
    """Progress that is not shown."""
    return Progress(Silent())
