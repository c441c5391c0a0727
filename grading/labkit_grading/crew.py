"""The workers of a class, as the grader sees them: started, given students, and replaced if lost.

A worker is replaced if it ended, if it takes longer than one student is allowed to, and if what a student did
would outlive a reset. A lost worker's student is retried once, by another worker. Clusters are started one at
a time: two together would not be ready any sooner.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from labkit.errors import ProviderError
from labkit_grading.sites.premises import Premises
from labkit_grading.student import Done, Failed, Job, Ready, lost
from labkit_grading.submissions.handed_in import HandedIn
from localcluster import spawn

STARTS, STARTING = 3, 300.0
"""How often a cluster may fail to come up in a row, and how long (real seconds) it may take."""
OVERTIME = 120.0
"""Real seconds that a worker has, over those of its student, to tidy up before it is ended."""
LEAVING = 30.0  # real seconds that `labkit down` may take
TRIES = 2


@dataclass
class _Worker:
    number: int
    child: spawn.Child
    line: Connection[Any, Any]
    hired: float
    deadline: float
    ready: bool = False
    student: HandedIn | None = None


@dataclass(frozen=True)
class Result:
    """A student, and their evidence as `Bundle.pack` returns it."""

    student: HandedIn
    body: str


class Workers:
    """At most `size` workers; use it as a context manager, so that none is left over."""

    def __init__(self, job: Job, premises: Premises, size: int) -> None:
        self._job, self._premises, self._size = job, premises, size
        self._here: list[_Worker] = []
        self._gone: list[_Worker] = []
        self._waiting: deque[HandedIn] = deque()
        self._tries: Counter[str] = Counter()
        self._failed_starts = 0
        self.starting, self.there = 0.0, 0.0
        """Real seconds of all workers: until their clusters were up, and from first to last."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in list(self._here):
            self._dismiss(one)
        for one in self._gone:
            self._see_off(one)

    def run(self, students: Iterable[HandedIn]) -> Iterator[Result]:
        """Yield each student's evidence, in the order in which they finish."""
        self._waiting.extend(students)
        while self._waiting or any(one.student for one in self._here):
            self._employ_idle()
            self._hire()
            left = max(0.0, min(one.deadline for one in self._here) - time.monotonic())
            lines = wait([one.line for one in self._here], timeout=left)
            for one in [one for one in self._here if one.line in lines]:
                yield from self._hear(one)
            for one in [one for one in self._here if one.deadline <= time.monotonic()]:
                yield from self._lose(one, "it exceeded the time limit for a student")

    def _employ_idle(self) -> None:
        """Give idle workers the students of lost ones, or dismiss them if there are none."""
        for one in [one for one in self._here if one.ready and not one.student]:
            if self._waiting:
                self._hand_out(one)
            else:
                self._dismiss(one)

    def _hire(self) -> None:
        """Start one more worker, if there is work for it and no other is starting."""
        starting = any(not one.ready for one in self._here)
        if starting or len(self._here) >= self._size or not self._waiting:
            return
        now = time.monotonic()
        ours, theirs = socket.socketpair()
        number = self._premises.next_number()
        handle, provider = str(theirs.fileno()), self._job.site.provider
        argv = [sys.executable, "-m", "labkit_grading.worker", handle, provider]
        env = {**os.environ, **self._premises.environment(number)}
        child = spawn.popen(argv, log=self._premises.log(number), env=env, pass_fds=[theirs.fileno()])
        self._premises.record(number, child.pid)
        theirs.close()
        line: Connection[Any, Any] = Connection(ours.detach())
        self._here.append(_Worker(number, child, line, now, now + STARTING))
        _send(line, self._job)

    def _hear(self, one: _Worker) -> Iterator[Result]:
        try:
            said = one.line.recv()
        except (EOFError, OSError):
            said = Failed("its process was killed")
        if isinstance(said, Ready):
            one.ready, self._failed_starts = True, 0
            self.starting += time.monotonic() - one.hired
        elif isinstance(said, Failed):
            yield from self._lose(one, said.why)
        elif isinstance(said, Done) and one.student:
            result = Result(one.student, said.body)
            one.student = None
            if not said.fit:
                self._dismiss(one)
            elif self._waiting:
                self._hand_out(one)
            yield result  # the next one is already running, however long writing this one takes

    def _hand_out(self, one: _Worker) -> None:
        one.student = self._waiting.popleft()
        self._tries[one.student.folder] += 1
        one.deadline = time.monotonic() + self._job.patience.student + OVERTIME
        _send(one.line, one.student)

    def _lose(self, one: _Worker, why: str) -> Iterator[Result]:
        """Pass its student on to another worker, or give up after the last try."""
        student = one.student
        one.child.kill()
        self._dismiss(one)
        self._see_off(one)
        if student is None:
            self._failed_starts += not one.ready
            self._refuse_to_go_on(one, why)
        elif self._tries[student.folder] < TRIES:
            self._waiting.append(student)
        else:
            yield Result(student, lost(self._job, student, f"{TRIES} workers were lost: {why}").pack())

    def _refuse_to_go_on(self, one: _Worker, why: str) -> None:
        """Stop starting clusters that don't come up: the existing workers do the rest; without any, raise."""
        if self._failed_starts < STARTS:
            return
        self._size = len(self._here)
        if not self._here:
            site = self._job.site
            failed = "The cluster for grading did not start" if site.own else f"No worker started on {site}"
            raise ProviderError(
                f"{failed}, {STARTS} times.",
                cause=why,
                fix=f"Fix that, or read {self._premises.log(one.number)}; then run the command again.",
            )

    def _dismiss(self, one: _Worker) -> None:
        """Dismiss a worker: it takes down its lab by itself while the others go on."""
        self.there += time.monotonic() - one.hired
        one.line.close()
        self._here.remove(one)
        self._gone.append(one)

    def _see_off(self, one: _Worker) -> None:
        try:
            one.child.wait(LEAVING)
        except spawn.TimedOut:
            one.child.kill()
            one.child.wait()
        self._premises.clear(one.number)


def _send(line: Connection[Any, Any], what: Job | HandedIn) -> None:
    with contextlib.suppress(OSError):  # it has ended: `wait` is about to report that
        line.send(what)
