"""Take a lab down: every process by its recorded pid and start time, then every process with its mark."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import psutil

from localcluster import spawn
from localcluster.layout import Layout
from localcluster.node.pod import records
from localcluster.provider import Report

KEPT = ("logs",)
PODS_GRACE = 2.0
SERVERS_GRACE = 0.3
"""Their data is deleted a moment later, so they need no orderly shutdown."""


def take_down(layout: Layout, report: Report) -> int:
    """End all processes of a lab and delete its files except logs; returns the number of processes ended.

    Ctrl-C is delayed until this is done, so that no processes are left over.
    """
    with _interrupted_later():
        return _take_down(layout, report)


def roll_back(layout: Layout, report: Report) -> None:
    """Like `take_down`, after a failed start; a second Ctrl-C does not interrupt it."""
    with _interrupted_later():
        report("rolling back")
        _take_down(layout, report)


def _take_down(layout: Layout, report: Report) -> int:
    with contextlib.suppress(OSError):  # on a full disk the agent's containers are found by their mark
        layout.stopping.touch()
    records = {path.stem: spawn.Proc.load(path) for path in sorted((layout.dir / "run").glob("*.json"))}
    living = {name: proc for name, proc in records.items() if proc and proc.alive()}
    # The supervisor first, or it would restart what ends; then the agent, which ends the pods.
    for name, grace in (("supervisor", 1.0), ("node-agent", PODS_GRACE)):
        if name in living:
            spawn.end([living[name]], grace=grace)
    spawn.end(living.values(), grace=SERVERS_GRACE)
    strays = with_children(spawn.marked(layout.dir))
    spawn.end(strays, grace=SERVERS_GRACE)
    ended = len(living) + len(strays)
    delete_files(layout)
    report(f"{ended} processes ended; logs are in {layout.logs}")
    return ended


def with_children(found: list[spawn.Proc]) -> list[spawn.Proc]:
    """Child processes belong to it, even if they removed the mark from their environment."""
    pids = {proc.pid: proc for proc in found}
    for proc in found:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(proc.pid).children(recursive=True):
                if child.pid != os.getpid():
                    pids[child.pid] = spawn.Proc.of(child.pid)
    return list(pids.values())


def delete_files(layout: Layout) -> None:
    """Delete everything of a lab except its logs."""
    for path in layout.dir.iterdir():
        if path.name in KEPT:
            continue
        if path.is_dir() and not path.is_symlink():
            records.remove(path)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _interrupted_later() -> Iterator[None]:
    """Delay Ctrl-C until the block is done."""
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
