"""Where a lab keeps its things: one folder that a person can read.

    lab.json        what was asked for, and the ports        kubeconfig      for people (0600)
    pki/            one certificate for each identity        kubeconfigs/    one for each identity
    run/            pid and start time of each process       logs/           one log for each process
    node.json       what the node agent is told              services.json   where Services answer
    etcd/ prometheus/ registry/ pods/ gpus/                  data; gone after `labkit down`

Refuses to live on a network file system: etcd and Unix sockets don't work there.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs
import psutil

from labkit._proc import write_atomically
from labkit.errors import BadInput, ProviderError
from labkit.providers.base import Spec

NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "afs", "9p", "afpfs"})
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def home() -> Path:
    """Folder of all labs of this user: `LABKIT_HOME`, else the platform's place for user data."""
    chosen = os.environ.get("LABKIT_HOME")
    return Path(chosen).expanduser().resolve() if chosen else platformdirs.user_data_path("labkit")


def default_name() -> str:
    """Name of the lab that commands mean when they name none: `LABKIT_LAB`, else `lab`."""
    return os.environ.get("LABKIT_LAB") or "lab"


@dataclass(frozen=True)
class Ports:
    """Loopback ports of a lab's servers, chosen once and kept."""

    api: int
    controller_manager: int
    scheduler: int
    registry: int
    prometheus: int
    adapter: int


@dataclass(frozen=True)
class Layout:
    """The folder of one lab."""

    dir: Path

    @classmethod
    def of(cls, name: str) -> Layout:
        """Folder of the lab `name`; raises `BadInput` for a name that can't be one."""
        if not NAME.fullmatch(name):
            raise BadInput(
                f"A lab can't be called {name!r}.",
                cause="Names are used in file names and node names.",
                fix="Use lower-case letters, digits and dashes, at most 32 of them.",
            )
        return cls(home() / name)

    @property
    def config(self) -> Path:
        """`lab.json`."""
        return self.dir / "lab.json"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig for people."""
        return self.dir / "kubeconfig"

    @property
    def logs(self) -> Path:
        """Folder of the logs."""
        return self.dir / "logs"

    @property
    def stopping(self) -> Path:
        """Exists while `down` runs: the node agent then ends its containers, too."""
        return self.dir / "stopping"

    def pki(self, name: str) -> Path:
        """A file of the PKI, such as `ca.crt`."""
        return self.dir / "pki" / name

    def kubeconfig_of(self, identity: str) -> Path:
        """The kubeconfig of one of the lab's own identities."""
        return self.dir / "kubeconfigs" / identity

    def record(self, component: str) -> Path:
        """Where the pid and start time of a component stand."""
        return self.dir / "run" / f"{component}.json"

    def log(self, component: str) -> Path:
        """The log of a component."""
        return self.logs / f"{component}.log"

    def save(self, spec: Spec, ports: Ports) -> None:
        """Write `lab.json`."""
        write_atomically(self.config, json.dumps({"spec": asdict(spec), "ports": asdict(ports)}, indent=1))

    def load(self) -> tuple[Spec, Ports]:
        """Read `lab.json`; raises `ProviderError` where there is no lab."""
        try:
            data = json.loads(self.config.read_text())
            return Spec(**data["spec"]), Ports(**data["ports"])
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ProviderError(
                f"There is no lab called {self.dir.name!r}.",
                cause=f"None was started under {self.dir.parent}, or it was taken down.",
                fix=f"Start one: labkit up --name {self.dir.name}",
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ProviderError(
                f"{self.config} is not what this version of labkit writes: {error}.",
                cause="It was edited, or comes from another version.",
                fix=f"labkit down --name {self.dir.name}, then up again.",
            ) from error


FRESH_MIB = 300
AGAIN_MIB = 50
"""A new lab writes 125 MiB at once (etcd reserves most of it); one that was there has that already."""


def prepare(layout: Layout, *, needed_mib: int | None = None) -> None:
    """Make the folder (0700), or say why a lab can't live there: no space, or a network file system."""
    if os.pathsep in str(layout.dir):
        raise BadInput(
            f"A lab can't live in {layout.dir}.",
            cause=f"KUBECONFIG is a list of files with {os.pathsep!r} between them.",
            fix="Set LABKIT_HOME to a path without it.",
        )
    needed = needed_mib or (AGAIN_MIB if layout.config.exists() else FRESH_MIB)
    try:
        layout.dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ProviderError(
            f"Could not make the folder {layout.dir}: {error.strerror}.",
            cause="You may not write there, that disk is read-only, or a file is in the way.",
            fix="Set LABKIT_HOME to a folder on a local disk that you may write to.",
        ) from error
    kind = file_system(layout.dir.resolve())  # a home is often a link to where it really lies
    if kind in NETWORK_FILE_SYSTEMS:
        raise ProviderError(
            f"{layout.dir} lies on a network file system ({kind}).",
            cause="etcd and Unix sockets don't work there.",
            fix="Set LABKIT_HOME to a folder on a local disk, for example /var/tmp/$USER-labkit.",
        )
    free = psutil.disk_usage(str(layout.dir)).free // 2**20
    if free < needed:
        raise ProviderError(
            f"Only {free} MiB are free under {layout.dir}; a lab needs {needed} MiB.",
            cause="The disk is nearly full.",
            fix="Free some space, or set LABKIT_HOME to a folder on another disk.",
        )


def file_system(path: Path) -> str:
    """Type of the file system that holds `path` (`ext4`, `nfs4`, …); empty where unknown."""
    best = ("", "")
    for part in psutil.disk_partitions(all=True):
        if path.is_relative_to(part.mountpoint) and len(part.mountpoint) >= len(best[0]):
            best = (part.mountpoint, part.fstype)
    return best[1].lower()
