"""Where a lab keeps its files: one folder that a person can read.

    lab.json        the settings, and the ports        kubeconfig      for people (0600)
    pki/            one certificate for each identity        kubeconfigs/    one for each identity
    run/            pid and start time of each process       logs/           one log for each process
    node.json       the node agent's configuration              services.json   where Services answer
    etcd/ prometheus/ registry/ pods/ gpus/                  data; gone after `localcluster down`

Refuses a network file system: etcd and Unix sockets don't work there.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import psutil

from localcluster import stored
from localcluster.errors import BadInput, ProviderError
from localcluster.provider import Spec

NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "afs", "9p", "afpfs"})
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def home() -> Path:
    """Folder of all labs of this user: `LABKIT_HOME`, else the platform's place for user data."""
    chosen = os.environ.get("LABKIT_HOME")
    return Path(chosen).expanduser().resolve() if chosen else platformdirs.user_data_path("labkit")


def default_name() -> str:
    """Name of the lab that commands use by default: `LABKIT_LAB`, else `lab`."""
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
class _Config:
    spec: Spec
    ports: Ports


@dataclass(frozen=True)
class Layout:
    """The folder of one lab."""

    dir: Path

    @classmethod
    def of(cls, name: str) -> Layout:
        """Folder of the lab `name`; raises `BadInput` for an invalid name."""
        if not NAME.fullmatch(name):
            raise BadInput(
                f"{name!r} is not a valid name for a lab.",
                cause="Names are used in file names and node names.",
                fix="Use at most 32 lower-case letters, digits and dashes.",
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
        """The file with the pid and start time of a component."""
        return self.dir / "run" / f"{component}.json"

    def log(self, component: str) -> Path:
        """The log of a component."""
        return self.logs / f"{component}.log"

    def save(self, spec: Spec, ports: Ports) -> None:
        """Write `lab.json`."""
        stored.save(self.config, _Config(spec, ports), indent=1)

    def load(self) -> tuple[Spec, Ports]:
        """Read `lab.json`; raises `ProviderError` if there is no lab."""
        try:
            config = stored.load(self.config, _Config)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ProviderError(
                f"There is no lab called {self.dir.name!r}.",
                cause=f"It was not started under {self.dir.parent}, or was taken down.",
                fix=f"Start one: localcluster up --name {self.dir.name}{_others(self.dir)}",
            ) from error
        except ValueError as error:
            raise ProviderError(
                f"{self.config} does not match this version: {error}.",
                cause="It was edited, or written by another version.",
                fix=f"Run localcluster down --name {self.dir.name}, then up again.",
            ) from error
        return config.spec, config.ports


def _others(missing: Path) -> str:
    """How to use the existing labs, for an error about a missing one."""
    there = sorted(p.parent.name for p in missing.parent.glob("*/lab.json") if "." not in p.parent.name)
    if not there:
        return ""
    one = there[0]
    return (
        f". Existing labs: {', '.join(there)}. To use {one}: --name {one} for one command, "
        f"or export LABKIT_LAB={one} for all, including notebooks."
    )


FRESH_MIB = 300
AGAIN_MIB = 50
"""A new lab writes 125 MiB at once (etcd reserves most of it); an existing lab has it already."""


def prepare(layout: Layout, *, needed_mib: int | None = None) -> None:
    """Make the folder (0700), or raise if a lab can't be there: no space, or a network file system."""
    if os.pathsep in str(layout.dir):
        raise BadInput(
            f"A lab can't be in {layout.dir}.",
            cause=f"KUBECONFIG is a list of files separated by {os.pathsep!r}.",
            fix="Set LABKIT_HOME to a path without it.",
        )
    needed = needed_mib or (AGAIN_MIB if layout.config.exists() else FRESH_MIB)
    try:
        layout.dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ProviderError(
            f"Could not make the folder {layout.dir}: {error.strerror}.",
            cause="You have no permission to write there, the disk is read-only, or a file has that name.",
            fix="Set LABKIT_HOME to a folder on a local disk that you can write to.",
        ) from error
    kind = file_system(layout.dir.resolve())  # a home is often a link
    if kind in NETWORK_FILE_SYSTEMS:
        raise ProviderError(
            f"{layout.dir} is on a network file system ({kind}).",
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
