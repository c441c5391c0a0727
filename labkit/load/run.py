"""Start the generator as a process of its own, follow it, stop it, and read what it measured.

Refuses targets on another machine unless the load allows them, and targets that are not a model server.
"""

from __future__ import annotations

import math
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psutil

from labkit.errors import LoadError
from labkit.load.journal import Reader
from labkit.load.plan import Closed, Load
from labkit.load.results import LoadResult
from labkit.load.rows import Row
from labkit.load.summary import Quantiles
from labkit.load.target import look
from localcluster import polling, spawn
from localcluster.provider import Inside
from localcluster.spawn import Proc

_LOCUSTFILE = Path(__file__).with_name("locustfile.py")
_STARTUP = 60.0
_GRACE = 5.0
_RECENT = 200


@dataclass(frozen=True)
class Progress:
    """A run so far: `t` in lab seconds, counts, and the p95 time to first token of the last 200 answers."""

    t: float
    sent: int
    in_flight: int
    ok: int
    failed: int
    ttft_p95: float

    def __str__(self) -> str:
        wait = "" if math.isnan(self.ttft_p95) else f", p95 TTFT {self.ttft_p95:.2f} s"
        return (
            f"{self.t:6.0f} lab s: {self.sent:,} sent, {self.in_flight:,} in flight, {self.ok:,} answered, "
            f"{self.failed:,} failed{wait}"
        )


class Running:
    """A running load test. Iterate over it for progress, `wait` for the result, or `stop` it early."""

    def __init__(self, load: Load, child: spawn.Child, *, journal: Path, lifeline: int) -> None:
        self.load = load
        self._child = child
        self._lifeline = lifeline
        self._journal = journal
        self._log = journal.with_suffix(".log")
        self._reader = Reader(journal)
        self._lines: list[dict[str, object]] = []
        self._rows: list[Row] = []

    def __repr__(self) -> str:
        return f"<load on {self.load.url}: {self.progress()}{'' if self.alive else ' (ended)'}>"

    def __iter__(self) -> Iterator[Progress]:
        """Yield progress about twice a second until the run has ended."""
        while self.alive:
            yield self.progress()
            polling.pause(0.5)
        self._close()
        yield self.progress()

    @property
    def pid(self) -> int:
        """The process ID of the generator."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether the generator still runs."""
        return self._child.poll() is None

    def progress(self) -> Progress:
        """The counts up to now."""
        self._read()
        kinds = Counter(row.outcome for row in self._rows)
        answered = len(self._rows) - kinds["not_sent"]
        pulse = next((line for line in reversed(self._lines) if line["kind"] == "pulse"), {})
        sent = max(int(str(pulse.get("sent", 0))), answered)
        return Progress(
            t=max([float(str(pulse.get("t", 0.0))), *(row.end for row in self._rows[-1:])]),
            sent=sent,
            in_flight=sent - answered,
            ok=kinds["ok"],
            failed=sum(row.failed for row in self._rows),
            ttft_p95=Quantiles.of(row.ttft for row in self._rows[-_RECENT:] if row.ok).p95,
        )

    def wait(self) -> LoadResult:
        """Wait until the run has ended. Ctrl-C (the stop button) ends it and keeps what was measured."""
        try:
            for _ in self:
                pass
        except KeyboardInterrupt:
            self.stop()
        return self.result()

    def stop(self) -> LoadResult:
        """End the run now; requests without an answer are recorded as abandoned."""
        self.end()
        return self.result()

    def end(self) -> None:
        """End the processes, whatever state the run is in."""
        with suppress(psutil.NoSuchProcess):
            if self.alive:
                spawn.end([Proc.of(self.pid)], grace=_GRACE)
        self._close()

    def result(self) -> LoadResult:
        """What has been measured so far (all of it once the run has ended); `LoadError` if it never began."""
        self._read()
        if self.alive or self._lines:
            return LoadResult.of(self._journal, self._lines)
        raise _never_began(self._log)

    def _read(self) -> None:
        lines = self._reader.more()
        self._lines += lines
        self._rows += [Row.of(line) for line in lines if line["kind"] == "row"]

    def _began(self) -> bool:
        self._read()
        return bool(self._lines) or not self.alive

    def await_start(self) -> Running:
        """Wait for time 0 of the run; raises `LoadError` with the generator's log if it never comes."""
        seen = partial(tail, self._log)
        polling.until(self._began, "the load generator to start", seconds=_STARTUP, last_seen=seen)
        if not self._lines:
            raise _never_began(self._log)
        return self

    def _close(self) -> None:
        self._child.wait()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1


def start(load: Load, out: Path, inside: Inside | None = None) -> Running:
    """Check the target, start locust, and return once the first request is due. Files go to the folder `out`.

    With `inside`, locust runs in the cluster's own network, where its requests meet no relay.

    `requests.jsonl` is the journal, `requests.log` locust's output, `plan.json` the plan.
    """
    model = look(load)
    out.mkdir(parents=True, exist_ok=True)
    journal = out / "requests.jsonl"
    journal.unlink(missing_ok=True)
    journal.with_suffix(".log").unlink(missing_ok=True)
    sent = replace(load, url=inside.url, allow_remote=True) if inside else load
    sent.save(out / "plan.json", model=model)
    lifeline, other_end = os.pipe()
    log, env = journal.with_suffix(".log"), _env(journal, lifeline)
    try:
        argv = [*(inside.enter if inside else ()), *_argv(load)]
        child = spawn.popen(argv, log=log, env=env, pass_fds=[lifeline], cwd=out)
    except BaseException:
        os.close(other_end)
        raise
    finally:
        os.close(lifeline)
    running = Running(load, child, journal=journal, lifeline=other_end)
    try:
        return running.await_start()
    except BaseException:  # on Ctrl-C, too: otherwise there would be no handle left to end it with
        running.end()
        raise


def _argv(load: Load) -> list[str]:
    users = load.shape.most if isinstance(load.shape, Closed) else 1
    seats = ["--users", str(users), "--spawn-rate", str(users)]
    quiet = ["--headless", "--only-summary", "--loglevel", "WARNING"]
    ends = ["--exit-code-on-error", "0", "--stop-timeout", "0"]
    return [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), *seats, *quiet, *ends]


def _env(journal: Path, lifeline: int) -> dict[str, str]:
    """Our environment without LOCUST_* settings, which would change this run."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LOCUST_")}
    plan = str(journal.with_name("plan.json").resolve())
    told = {"LABKIT_LOAD_PLAN": plan, "LABKIT_LOAD_JOURNAL": str(journal.resolve())}
    # Addresses are already resolved, so gevent's resolver thread would only cost time per connection.
    return kept | told | {"LABKIT_LOAD_LIFELINE": str(lifeline), "GEVENT_RESOLVER": "block"}


def _never_began(log: Path) -> LoadError:
    return LoadError(
        "The load generator ended before its first request.",
        cause=tail(log) or "locust printed nothing.",
        fix="Run `python -m locust --version` in the same environment; `make setup` installs it again.",
    )


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log; empty if there is none."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""
