"""A node's own disk, which `hostPath` leads to: a folder of the lab, and never the machine's own files.

It lives as long as the lab. The pods of a node share it, and can leave links in it, so no link is followed
that leads out. https://kubernetes.io/docs/concepts/storage/volumes/#hostpath-volume-types
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from localcluster.api import Json
from localcluster.node.process import mounting

_HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def inner(spec: Json) -> str:
    """The path of a `hostPath` below its node's disk."""
    return os.path.normpath("/" + spec["path"]).lstrip("/") or "."


def make(disk: Path, spec: Json) -> None:
    """Make what a `hostPath` says is to be made; raises `OSError` or `Astray` if it is not what it says."""
    _prepare(disk)
    place, kind = inner(spec), spec.get("type") or ""
    if kind == "FileOrCreate":
        above = mounting.opened(disk, str(Path(place).parent))
        with suppress(FileExistsError):
            os.close(os.open(Path(place).name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=above))
        os.close(above)
    if kind == "DirectoryOrCreate" or (not kind and not (disk / place).exists()):  # as the runtime does
        os.close(mounting.opened(disk, place, make=True))
    if not kind:
        return
    right, called = _CHECKS[kind]
    try:
        found = mounting.opened(disk, place)
    except OSError as error:
        raise OSError(f"hostPath type check failed: {spec['path']} is not {called}") from error
    try:
        if not right(os.fstat(found).st_mode):
            raise OSError(f"hostPath type check failed: {spec['path']} is not {called}")
    finally:
        os.close(found)


def _prepare(disk: Path) -> None:
    """What every node has."""
    if disk.is_dir():
        return
    (disk / "etc").mkdir(parents=True)
    (disk / "etc" / "hosts").write_text(_HOSTS)
    (disk / "etc" / "hostname").write_text(f"{disk.name}\n")
    (disk / "tmp").mkdir()
    (disk / "tmp").chmod(0o1777)
