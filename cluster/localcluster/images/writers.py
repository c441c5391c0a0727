"""Who besides root may write below each folder at the top of an image's root.

An ordinary user can't give files away, so an unpacked root is its user's alone, and in a container all of it
belongs to the container's user. What the layers say is kept beside the files, in an extended attribute of
each top folder: a container that does not run as root is then kept from writing where only root may.
"""

from __future__ import annotations

import contextlib
import json
import os
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ATTRIBUTE = "user.labkit.writers"
_SYSTEM = ("bin", "etc", "lib", "lib64", "root", "sbin", "usr")
_EVERYONE = "*"


class Writers:
    """Those of one layer, while it is unpacked."""

    def __init__(self) -> None:
        self._found: defaultdict[str, set[str]] = defaultdict(set)

    def note(self, path: PurePosixPath, member: tarfile.TarInfo) -> None:
        """Take up an entry of the layer."""
        if member.isdir() or member.isreg():
            self._found[path.parts[0]] |= set(_writers(member))

    def save(self, root: Path) -> None:
        """Add them to what is known of lower layers; on a disk without such attributes nothing is known."""
        for folder in root.iterdir():
            if folder.is_dir() and not folder.is_symlink():
                found = self._found[folder.name] | (_known(folder) or set())
                with contextlib.suppress(OSError):
                    os.setxattr(folder, _ATTRIBUTE, json.dumps(sorted(found)).encode())


def _writers(member: tarfile.TarInfo) -> Iterator[str]:
    if member.uid and member.mode & 0o200:
        yield f"user {member.uid}"
    if member.mode & 0o020:
        yield f"group {member.gid}"
    if member.mode & 0o002:
        yield _EVERYONE


def _known(folder: Path) -> set[str] | None:
    try:
        return set(json.loads(os.getxattr(folder, _ATTRIBUTE)))
    except OSError:
        return None


def closed(root: Path, uid: int, gid: int) -> tuple[str, ...]:
    """The folders of the system, `/etc` and so on, below which this user may write nothing."""
    if uid == 0:
        return ()
    own = {f"user {uid}", f"group {gid}", _EVERYONE}
    found = []
    for name in _SYSTEM:
        folder = root / name
        writers = _known(folder) if folder.is_dir() and not folder.is_symlink() else None
        if writers is not None and not own & writers:
            found.append(f"/{name}")
    return tuple(found)
