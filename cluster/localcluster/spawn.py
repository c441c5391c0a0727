"""The only place that starts processes and ends them.

A process is identified by its pid *and* its start time, so that a reused pid is never signalled. Refuses to
look for processes by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from localcluster import polling, stored
from localcluster.errors import WaitTimeout

MARKER = "LABKIT_LAB_DIR"
"""Environment variable that every process of a lab carries; its value is the lab's folder."""

Finished = subprocess.CompletedProcess[str]

Piped = subprocess.Popen[str]

TimedOut = subprocess.TimeoutExpired
"""Raised by `run` if the process exceeds its time limit; the process is killed."""
Child = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Proc:
    """One process that we started: `pid`, its start time (seconds since the epoch) and what it runs."""

    pid: int
    started: float
    argv: tuple[str, ...]

    @classmethod
    def of(cls, pid: int, argv: Sequence[str] = ()) -> Proc:
        """Record a running process; raises `psutil.NoSuchProcess` if it has ended."""
        process = psutil.Process(pid)
        return cls(pid, process.create_time(), tuple(argv) or tuple(process.cmdline()))

    @classmethod
    def load(cls, path: Path) -> Proc | None:
        """Read a record; None if there is none (or only half of one)."""
        return stored.find(path, cls, newer=True)

    def save(self, path: Path) -> None:
        """Write the record atomically."""
        stored.save(path, self)

    def alive(self) -> bool:
        """Whether this very process (not a later one with its pid) still runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 1.0
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    seconds: float | None = None,
) -> Finished:
    """Run to the end and return the exit status and both outputs; never raises on a non-zero status."""
    return subprocess.run(
        [str(a) for a in argv],
        cwd=cwd,
        env=dict(env) if env is not None else None,
        input=stdin,
        stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def attached(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> int:
    """Run with our own terminal (kubectl, JupyterLab) and return the exit status, as a shell counts it.

    Ctrl-C is the child's: the terminal sends it to both of us, and we wait for the child to handle it.
    SIGTERM and SIGHUP, which only we receive, are passed on.
    """
    children: list[subprocess.Popen[bytes]] = []

    def hand_on(number: int, _: object) -> None:
        for child in children if number != signal.SIGINT else ():
            child.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in _ENDING}
    try:
        full = dict(env) if env is not None else None
        children.append(subprocess.Popen([str(a) for a in argv], env=full))
        status = children[0].wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def popen(
    argv: Sequence[str | Path],
    *,
    log: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start in a new session (a closed terminal does not end it), with output appended to `log`."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else subprocess.DEVNULL
    try:
        return subprocess.Popen(
            [str(a) for a in argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT if log else subprocess.DEVNULL,
            cwd=cwd,
            env=dict(env) if env is not None else None,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
        )
    finally:
        if log:
            os.close(out)


def detach(argv: Sequence[str | Path], *, log: Path, env: Mapping[str, str], pass_fds: Sequence[int]) -> None:
    """Start a process that outlives us; the system's first process takes its exit status, not we."""
    shell = ("/bin/sh", "-c", '"$@" &', "sh", *argv)
    popen(shell, log=log, env=env, pass_fds=pass_fds).wait()


def piped(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a child whose standard output we read line by line; the caller ends it."""
    return subprocess.Popen(
        [str(a) for a in argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(env) if env is not None else None,
        start_new_session=True,
    )


async def start(
    argv: Sequence[str | Path],
    *,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> asyncio.subprocess.Process:
    """Start a child of the running event loop, in a session of its own."""
    return await asyncio.create_subprocess_exec(
        *[str(a) for a in argv],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=dict(env) if env is not None else None,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
    )


def end(procs: Iterable[Proc], *, grace: float) -> None:
    """SIGTERM all of them at once, SIGKILL what is left after `grace` seconds, return when all are gone."""
    living = [p for p in procs if p.alive()]
    for proc in living:
        _signal(proc, signal.SIGTERM)
    try:
        polling.until(
            lambda: not any(p.alive() for p in living), "processes to end", seconds=grace, every=0.02
        )
    except WaitTimeout:
        for proc in living:
            _signal(proc, signal.SIGKILL)
        polling.until(lambda: not any(p.alive() for p in living), "killed processes to go", seconds=10)


def marked(folder: Path) -> list[Proc]:
    """Every process of this user with the lab's folder in its environment, whatever started it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARKER) == str(folder):
                found.append(Proc.of(process.pid))
    return found


def _signal(proc: Proc, number: signal.Signals) -> None:
    if proc.alive():
        with contextlib.suppress(ProcessLookupError):
            os.kill(proc.pid, number)
