"""The folder in which a report's workers have their labs, one grader at a time.

    work/workers/3.json    the process of worker 3      work/workers/3.log    what it said
    work/workers/3.out/    records of its load generators
    work/workers/3.tmp     leads to its folder for sockets, whose paths must be short
    work/labs/w3/          its lab, where it has one of its own; processes of others carry that path, too

What a grader that was killed left behind is ended before anything else is done. Refuses a second grader.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from labkit import _proc
from labkit.errors import BadInput
from labkit.grading.sites.site import HERE, Site
from labkit.node.pod import records
from labkit.providers.base import silent
from labkit.providers.embedded.layout import Layout
from labkit.providers.embedded.teardown import take_down

GRACE = 5.0  # real seconds for a worker to end by itself: it is taking its lab down already


class Premises:
    """Of one report, by its work folder."""

    def __init__(self, work: Path, site: Site = HERE) -> None:
        self._labs, self._workers = work / "labs", work / "workers"
        self._site = site
        self._number = 0

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Nobody else's while this is held, and empty at its begin."""
        self._workers.mkdir(parents=True, exist_ok=True)
        with (self._workers / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BadInput(
                    "Another labkit grade writes this report.",
                    cause="Two at a time would do everything twice.",
                    fix="Wait for it, or name another folder with --out.",
                ) from error
            self._evict()
            yield

    def next_number(self) -> int:
        """A number that no worker has had yet."""
        self._number += 1
        return self._number

    def environment(self, number: int) -> dict[str, str]:
        """Where a worker has its cluster (or finds it) and its files, apart from everybody's."""
        scratch = tempfile.mkdtemp(prefix="labkit-")
        self._scratch(number).symlink_to(scratch)
        own = {"LABKIT_HOME": str(self._labs), "LABKIT_LAB": f"w{number}"}
        guest = {**self._site.environment, _proc.MARKER: str(self._lab(number))}
        lab = own if self._site.own else guest
        return {**lab, "LABKIT_OUT": str(self._out(number)), "TMPDIR": scratch}

    def log(self, number: int) -> Path:
        """What a worker says."""
        return self._workers / f"{number}.log"

    def record(self, number: int, pid: int) -> None:
        """Remember a worker's process."""
        _proc.Proc.of(pid).save(self._recorded(number))

    def clear(self, number: int) -> None:
        """After a worker has ended: nothing of it is left but logs."""
        lab = self._lab(number)
        if lab.is_dir():
            take_down(Layout(lab), silent)
        else:
            _proc.end(_proc.marked(lab), grace=GRACE)
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
        """End what an earlier grader left."""
        found = [_proc.Proc.load(path) for path in self._workers.glob("*.json")]
        _proc.end([one for one in found if one], grace=GRACE)
        numbers = {path.stem for path in self._workers.glob("*.*")}
        for number in numbers | {lab.name[1:] for lab in self._labs.glob("w*")}:
            self.clear(int(number))
            self.log(int(number)).unlink(missing_ok=True)
        shutil.rmtree(self._labs, ignore_errors=True)
