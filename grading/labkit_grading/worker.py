"""One worker of a class: a process with a cluster of its own, which runs the students it is given.

    python -m labkit_grading.worker HANDLE PROVIDER      HANDLE is its end of a socket to the grader

It has no key: it sends what it saw, and the grader signs. It ends when the grader ends, for whatever reason,
by becoming `labkit down`, so that no thread is left to restart what was just ended. On an existing cluster
(any provider but `embedded`) it is a guest: it brings nothing up, and takes nothing down.
"""

from __future__ import annotations

import os
import sys
import threading
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from labkit.lab import Lab, connect
from labkit.view.notebook import shown_to
from labkit_grading.judging.proofs import SEED
from labkit_grading.sites.site import OWN, Site
from labkit_grading.student import Failed, Job, Ready, examine
from localcluster import catalog
from localcluster.provider import Spec

PODS_MIB = 3072
"""What a submission's pods may hold of this machine's memory, all together; a dozen servers hold 1200."""


def main(handle: int, provider: str) -> None:
    """Bring a cluster up or find one, run one student after the other, take down what we brought up."""
    grader: Connection[Any, Any] = Connection(handle)
    handed: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(
        target=_listen, args=(grader, handed, provider), name="labkit-grader", daemon=True
    ).start()
    job: Job = handed.get()
    try:
        lab = _lab(job.site)
        grader.send(Ready())
        while True:
            grader.send(examine(job, lab, handed.get()))
    except BaseException as error:
        grader.send(Failed(f"{type(error).__name__}: {error}"))
        sys.excepthook(*sys.exc_info())  # into this worker's log
        raise
    finally:
        _leave(provider)


def _listen(grader: Connection[Any, Any], handed: SimpleQueue[Any], provider: str) -> None:
    while True:
        try:
            handed.put(grader.recv())
        except (EOFError, OSError):
            _leave(provider)


def _leave(provider: str) -> None:
    """Become the command that takes this worker's lab down; its kernels and loads end with its threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    if provider != OWN:
        os._exit(0)
    os.execv(sys.executable, [sys.executable, "-m", "labkit.cli", "down"])  # noqa: S606 - ourselves


def _lab(site: Site) -> Lab:
    if site.own:
        up = catalog.get(site.provider).up
        up(Spec(clock=site.clock, memory_mib=PODS_MIB), report=lambda line: print(line, flush=True))  # noqa: T201 - its log
    with shown_to(lambda _: None):
        return connect(provider=site.provider, clock=site.clock, seed=SEED)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
