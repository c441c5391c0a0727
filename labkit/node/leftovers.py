"""What an agent that died left behind: what its pods hold, and pods that nobody has any more."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Collection, Iterator
from pathlib import Path

from labkit.node.pod import records
from labkit.node.pod.machine import Machine
from labkit.node.pod.records import PodRecord, RunRecord
from labkit.node.process import container, processes


def found(lab_dir: Path) -> list[PodRecord]:
    """The records of all pods that an earlier agent knew."""
    folder = lab_dir / "pods"
    if not folder.is_dir():
        return []
    return [record for entry in folder.iterdir() if (record := PodRecord.load(entry))]


def restore(machines: Collection[Machine], pods: list[PodRecord]) -> None:
    """Note what these pods hold, so that nobody else is given it."""
    by_name = {machine.name: machine for machine in machines}
    for record in pods:
        machine = by_name.get(record.node)
        if machine is None or record.over or not record.pod_ip:
            continue
        machine.ips.restore(record.pod_ip)
        for taken in record.ports.values():
            machine.ports.restore(taken.values())
        machine.inventory.restore({f"{record.uid}/{name}": gpus for name, gpus in record.gpus.items()})


async def sweep(lab_dir: Path, known: Collection[str]) -> None:
    """End and remove every pod on disk whose uid is not known."""
    folder = lab_dir / "pods"
    if not folder.is_dir():
        return
    for pod in [entry for entry in folder.iterdir() if entry.name not in known]:
        kill(pod)
        await asyncio.to_thread(_remove, pod)


def _remove(pod: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # its own worker was faster
        records.remove(pod)


def kill(pod: Path) -> None:
    """SIGKILL every process of every container of a pod folder."""
    for pid in _living(pod):
        for each in processes.tree(pid):
            processes.send(each, signal.SIGKILL)


def _living(pod: Path) -> Iterator[int]:
    for folder in pod.iterdir():
        for run in records.runs(folder):
            record = RunRecord.load(run)
            if record is None or record.exit_code is not None:
                continue
            adopted = container.adopt(run, folder / f"{run.name}.log", record.container_id)
            if adopted is not None and processes.started(adopted.pid) is not None:
                yield adopted.pid
