"""The folder in which a report's workers have their labs, one grader at a time.

    work/workers/3.json    the process of worker 3      work/workers/3.log    its output
    work/workers/3.out/    records of its load generators
    work/workers/3.tmp     a link to its folder for sockets, whose paths must be short
    work/labs/w3/          its lab, if it has one of its own; its processes carry that path, too

What a killed grader left behind is ended before anything else is done. Refuses a second grader.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from labkit.errors import BadInput
from labkit_grading.sites.site import HERE, Site
from localcluster import spawn
from localcluster.embedded.teardown import take_down
from localcluster.layout import Layout
from localcluster.node.pod import records
from localcluster.provider import silent

GRACE = 5.0  # real seconds for a worker to end by itself: it is already taking its lab down


class Premises:
    """The premises of one report, in its work folder."""

    def __init__(self, work: Path, site: Site = HERE) -> None:
        self._labs, self._workers = work / "labs", work / "workers"
        self._site = site
        self._number = 0

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Claim the folder for this grader alone, and start with it empty."""
        self._workers.mkdir(parents=True, exist_ok=True)
        with (self._workers / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BadInput(
                    "Another labkit grade is writing this report.",
                    cause="Two at a time would do everything twice.",
                    fix="Wait for it, or name another folder with --out.",
                ) from error
            self._evict()
            yield

    def next_number(self) -> int:
        """A number that no worker has used yet."""
        self._number += 1
        return self._number

    def environment(self, number: int) -> dict[str, str]:
        """Where a worker has or finds its cluster, and has its files, separate from all others."""
        scratch = tempfile.mkdtemp(prefix="labkit-")
        self._scratch(number).symlink_to(scratch)
        own = {"LABKIT_HOME": str(self._labs), "LABKIT_LAB": f"w{number}"}
        guest = {**self._site.environment, spawn.MARKER: str(self._lab(number))}
        lab = own if self._site.own else guest
        return {**lab, "LABKIT_OUT": str(self._out(number)), "TMPDIR": scratch}

    def log(self, number: int) -> Path:
        """A worker's log file."""
        return self._workers / f"{number}.log"

    def record(self, number: int, pid: int) -> None:
        """Record a worker's process."""
        spawn.Proc.of(pid).save(self._recorded(number))

    def clear(self, number: int) -> None:
        """Clean up after a worker, leaving nothing but logs."""
        lab = self._lab(number)
        if lab.is_dir():
            take_down(Layout(lab), silent)
        else:
            spawn.end(spawn.marked(lab), grace=GRACE)
        scratch = self._scratch(number)
        if scratch.is_symlink():
            records.remove(scratch.resolve())
            scratch.unlink()
        shutil.rmtree(self._out(number), ignore_errors=True)
        self._recorded(number).unlink(missing_ok=True)

    def _lab(self, number: int) -> Path:
        return self._labs / f"w{number}"

    def _out(self, number: int) -> Path:
        return self._workers / f"{number}.out"

    def _recorded(self, number: int) -> Path:
        return self._workers / f"{number}.json"

    def _scratch(self, number: int) -> Path:
        return self._workers / f"{number}.tmp"

    def _evict(self) -> None:
        """End the processes that an earlier grader left."""
        found = [spawn.Proc.load(path) for path in self._workers.glob("*.json")]
        spawn.end([one for one in found if one], grace=GRACE)
        numbers = {path.stem for path in self._workers.glob("*.*")}
        for number in numbers | {lab.name[1:] for lab in self._labs.glob("w*")}:
            self.clear(int(number))
            self.log(int(number)).unlink(missing_ok=True)
        shutil.rmtree(self._labs, ignore_errors=True)
