"""The runs of one container on disk: `<pod>/<container>/<number>/` and `<number>.log`, oldest first.

It only reads and names; `lifecycle.py` decides what a run means for the next one.
"""

from __future__ import annotations

from pathlib import Path

from localcluster.api import Json
from localcluster.gpus.usage import usage_files
from localcluster.node.pod import records
from localcluster.node.pod.context import PodContext
from localcluster.node.pod.pods import RunningContainer
from localcluster.node.pod.records import RunRecord
from localcluster.node.pod.status import Terminated
from localcluster.node.process import mounting

_MESSAGE_BYTES = 4096
_LOG_BYTES, _LOG_LINES = 2048, 80  # of a log, where it has to serve as termination message


class History:
    """All runs of one container."""

    def __init__(self, place: Path, spec: Json) -> None:
        self._place = place
        self._spec = spec

    def folder(self, number: int) -> Path:
        """Of one run: its record, its exit code, its writable layer."""
        return self._place / str(number)

    def log(self, number: int) -> Path:
        """What a run printed."""
        return self._place / f"{number}.log"

    def forget(self, *, before: int) -> None:
        """Delete the oldest runs: as the kubelet, a node keeps the last one that ended, and its log."""
        for run in records.runs(self._place):
            if int(run.name) < before:
                records.remove(run)
                self.log(int(run.name)).unlink(missing_ok=True)

    def latest(self) -> tuple[RunRecord | None, RunRecord | None]:
        """The last run, and the one before it if that ended: (before, last)."""
        found = [None, None, *(r for r in map(RunRecord.load, records.runs(self._place)) if r)]
        before, last = found[-2:]
        return (before if before and before.exit_code is not None else None), last

    def last_words(self, record: RunRecord) -> str:
        """The termination message: what the container wrote for it, or the end of its log."""
        file, log = self.folder(record.number) / "termination-log", self.log(record.number)
        text = mounting.head(file, _MESSAGE_BYTES).decode(errors="replace")
        fallback = self._spec.get("terminationMessagePolicy") == "FallbackToLogsOnError" and record.exit_code
        if not text and fallback:
            lines = mounting.tail(log, _LOG_BYTES).decode(errors="replace").split("\n")
            text = "\n".join(lines[-_LOG_LINES - (lines[-1] == "") :])
        return text

    def view(self, pod: PodContext, record: RunRecord, pid: int | None) -> RunningContainer:
        """A run as the table of pods has it."""
        name = str(self._spec["name"])
        gpus = tuple(pod.record.gpus.get(name, ()))
        holders = (record.container_id, pod.record.uid)
        return RunningContainer(
            name=name,
            container_id=f"labkit://{record.container_id}",
            image=record.image,
            image_id=record.image_id,
            folder=self.folder(record.number),
            log_path=self.log(record.number),
            previous_log_path=self.log(record.number - 1) if record.number else None,
            pid=pid,
            started_at=record.started_at,
            restart_count=record.number,
            ports={int(p): a for p, a in pod.record.ports.get(name, {}).items()},
            gpus=gpus,
            usage_files=usage_files([pod.machine.inventory.path(g) for g in gpus], holders),
            env=record.env,
            isolated=pod.machine.isolated,
        )


def terminated(record: RunRecord) -> Terminated:
    """A run that is over, as the status shows it."""
    return Terminated(
        exit_code=record.exit_code or 0,
        reason=record.reason,
        started_at=record.started_at,
        finished_at=record.finished_at,
        container_id=f"labkit://{record.container_id}",
        message=record.message,
    )
