"""What an agent that died left behind: what its pods hold, and pods that no longer exist."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from localcluster.node.pod import records
from localcluster.node.pod.records import PodRecord, RunRecord
from localcluster.node.process import container, holder, processes, shared

if TYPE_CHECKING:  # it would bring the node agent's HTTP client into every command
    from localcluster.node.pod.machine import Machine


def found(lab_dir: Path) -> list[PodRecord]:
    """The records of all pods that an earlier agent knew."""
    folder = lab_dir / "pods"
    if not folder.is_dir():
        return []
    return [record for entry in folder.iterdir() if (record := PodRecord.load(entry))]


def restore(machines: Collection[Machine], pods: list[PodRecord]) -> None:
    """Mark what these pods hold as taken."""
    by_name = {machine.name: machine for machine in machines}
    for record in pods:
        machine = by_name.get(record.node)
        if machine is None or record.over or not record.pod_ip:
            continue
        machine.ips.restore(record.pod_ip, record.uid)
        folder = machine.pod_folder(record.uid)
        if not machine.network.adopt(record.uid, record.pod_ip, record.ports, _living(folder)):
            kill(folder)  # the lab's network is a new one: its containers are restarted
            machine.network.make(record.uid, record.pod_ip)
        machine.inventory.restore({f"{record.uid}/{name}": gpus for name, gpus in record.gpus.items()})


async def sweep(lab_dir: Path, known: Collection[str], machines: Collection[Machine]) -> None:
    """End and remove every pod on disk whose uid is not known, and release what was restored for it."""
    folder = lab_dir / "pods"
    if not folder.is_dir():
        return
    by_name = {machine.name: machine for machine in machines}
    for pod in [entry for entry in folder.iterdir() if entry.name not in known]:
        kill(pod)
        record = PodRecord.load(pod)
        machine = by_name.get(record.node) if record else None
        if record and machine and not record.over:
            machine.take_back(record)
        await asyncio.to_thread(_remove, pod)


def _remove(pod: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # its own worker was faster
        records.remove(pod)


def kill(pod: Path) -> None:
    """SIGKILL every process of every container of a pod folder, and let its volumes in memory go."""
    for pid in _living(pod):
        for each in processes.tree(pid):
            processes.send(each, signal.SIGKILL)
    for found in (shared.find(pod / shared.FOLDER), holder.find(pod / holder.FOLDER)):
        if found:
            found.kill()


def _living(pod: Path) -> Iterator[int]:
    for folder in pod.iterdir():
        for run in records.runs(folder):
            record = RunRecord.load(run)
            if record is None or record.exit_code is not None:
                continue
            adopted = container.adopt(run, folder / f"{run.name}.log", record.container_id)
            if adopted is not None and processes.started(adopted.pid) is not None:
                yield adopted.pid
