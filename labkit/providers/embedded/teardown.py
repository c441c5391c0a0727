"""Take a lab down: every process by its recorded pid and start time, then whatever carries its mark."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import psutil

from labkit import _proc
from labkit.node.pod import records
from labkit.providers.base import Report
from labkit.providers.embedded.layout import Layout

KEPT = ("logs",)
PODS_GRACE = 2.0
SERVERS_GRACE = 0.3
"""Their data is deleted a moment later, so nobody waits for an orderly goodbye."""


def take_down(layout: Layout, report: Report) -> int:
    """End all processes of a lab and delete its files but the logs; the number of processes ended.

    Ctrl-C meanwhile waits until this is done: half of it would leave processes over.
    """
    with _interrupted_later():
        return _take_down(layout, report)


def roll_back(layout: Layout, report: Report) -> None:
    """As `take_down`, after a start that failed; a second Ctrl-C does not come between."""
    with _interrupted_later():
        report("rolling back")
        _take_down(layout, report)


def _take_down(layout: Layout, report: Report) -> int:
    with contextlib.suppress(OSError):  # on a full disk the agent's containers are found by their mark
        layout.stopping.touch()
    records = {path.stem: _proc.Proc.load(path) for path in sorted((layout.dir / "run").glob("*.json"))}
    living = {name: proc for name, proc in records.items() if proc and proc.alive()}
    # The supervisor first, or it would start again what ends; then the agent, which ends the pods.
    for name, grace in (("supervisor", 1.0), ("node-agent", PODS_GRACE)):
        if name in living:
            _proc.end([living[name]], grace=grace)
    _proc.end(living.values(), grace=SERVERS_GRACE)
    strays = with_children(_proc.marked(layout.dir))
    _proc.end(strays, grace=SERVERS_GRACE)
    ended = len(living) + len(strays)
    delete_files(layout)
    report(f"{ended} processes ended; logs are in {layout.logs}")
    return ended


def with_children(found: list[_proc.Proc]) -> list[_proc.Proc]:
    """What a process started belongs to it, also where it wiped the mark from its environment."""
    pids = {proc.pid: proc for proc in found}
    for proc in found:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(proc.pid).children(recursive=True):
                if child.pid != os.getpid():
                    pids[child.pid] = _proc.Proc.of(child.pid)
    return list(pids.values())


def delete_files(layout: Layout) -> None:
    """Delete everything of a lab but its logs."""
    for path in layout.dir.iterdir():
        if path.name in KEPT:
            continue
        if path.is_dir() and not path.is_symlink():
            records.remove(path)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _interrupted_later() -> Iterator[None]:
    """Keep Ctrl-C back until the block is done, and let it through then."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
