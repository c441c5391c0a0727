"""What a pod was given, on disk: `pod.json` in its folder, so that a restarted agent assigns nothing twice.

Written when something is assigned, read once at the start of the agent. The API has the status. Not synced:
after a crash of the machine no container is left.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from localcluster import stored
from localcluster.api import Json


@dataclass
class PodRecord:
    """One pod: who it is, its address, and the ports and devices of each of its containers."""

    uid: str
    namespace: str
    name: str
    node: str
    pod_ip: str = ""
    started_at: float = 0.0
    ports: dict[str, dict[str, str]] = field(default_factory=dict)  # container -> {"8000": "127.0.0.1:4711"}
    gpus: dict[str, list[str]] = field(default_factory=dict)  # container -> device UUIDs
    allocated: dict[str, Json] = field(default_factory=dict)  # container -> resources that are in force
    over: bool = False  # everything was released
    failed: list[str] = field(default_factory=list)  # reason and message, where the pod failed as a whole

    @classmethod
    def new(cls, pod: Json, node: str) -> PodRecord:
        """For a pod that was never seen before."""
        meta = pod["metadata"]
        return cls(meta["uid"], meta["namespace"], meta["name"], node, started_at=time.time())

    @classmethod
    def load(cls, folder: Path) -> PodRecord | None:
        """Read; None if it is missing or invalid."""
        return stored.find(folder / "pod.json", cls)

    def save(self, folder: Path) -> None:
        """Write atomically: a killed agent leaves the old version or the new one."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        stored.save(folder / "pod.json", self, synced=False)


@dataclass
class RunRecord:
    """One run of a container: `<pod>/<container>/<number>/run.json`. `reason` is set when it is over."""

    container_id: str
    image: str
    image_id: str
    number: int  # 0 for the first run; it is the restart count too
    started_at: float
    env: dict[str, str] = field(default_factory=dict)
    stop_signal: str = "SIGTERM"
    exit_code: int | None = None
    finished_at: float = 0.0
    reason: str = ""
    message: str = ""

    @classmethod
    def load(cls, folder: Path) -> RunRecord | None:
        """Read; None if it is missing or invalid."""
        return stored.find(folder / "run.json", cls)

    def save(self, folder: Path) -> None:
        """Write atomically: a killed agent leaves the old version or the new one."""
        stored.save(folder / "run.json", self, synced=False)


def runs(folder: Path) -> list[Path]:
    """The run folders of one container, oldest first."""
    if not folder.is_dir():
        return []
    return sorted((f for f in folder.iterdir() if f.is_dir() and f.name.isdigit()), key=lambda f: int(f.name))


def remove(folder: Path) -> None:
    """Delete a folder with everything that containers wrote, even if they removed our permissions."""
    for place, names, _ in os.walk(folder):
        for name in names:
            inner = Path(place, name)
            if not inner.is_symlink():  # it may lead to a folder of the host
                inner.chmod(0o700)
    if folder.exists():
        shutil.rmtree(folder)
