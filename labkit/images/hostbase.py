"""The host standing in for a base image, since none can be pulled without a network.

A stand-in is the host's own `/usr` and Python, read-only at their own places, over a small skeleton
(`/etc/passwd`, `/tmp`, `/usr/local/bin/python3`, …). An image built on it can't bring files for the places
that the host covers: `covers` names them, and the builder refuses. Building and running use the very same
stand-in.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from labkit.images.folders import publish

_TOP = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC = (
    "alternatives", "ca-certificates", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "localtime", "mime.types", "pki", "resolv.conf", "ssl",
)  # fmt: skip
_FOLDERS = (
    "dev", "etc", "home", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "usr/local/bin",
    "usr/local/etc", "usr/local/lib", "usr/local/sbin", "usr/local/share", "var/cache", "var/lib", "var/log",
    "var/tmp",
)  # fmt: skip
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_VERSION = 1  # raise it when the skeleton is filled in another way
STANDS_FOR = ("python",)
"""Images on docker.io that the host can stand in for: it has a Python, and promises nothing else."""
ENV = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
"""The environment that such a base image sets."""


@dataclass(frozen=True)
class HostBase:
    """What of the host is laid under an image: read-only paths, links, and the Python interpreter."""

    python: Path
    binds: tuple[Path, ...]
    links: tuple[tuple[str, str], ...]  # path, target

    @property
    def key(self) -> str:
        """Changes when the stand-in changes: another host, another Python."""
        told = (
            sys.version,
            str(self.python),
            [str(b) for b in self.binds],
            self.links,
            _FOLDERS,
            _FILES,
            _VERSION,
        )
        return hashlib.sha256(repr(told).encode()).hexdigest()[:32]

    def covers(self, path: Path) -> bool:
        """Whether the host's files hide what an image would bring at this absolute path."""
        linked = any(path.is_relative_to(f"/{name}") for name, _ in self.links)
        return linked or any(path.is_relative_to(bind) for bind in self.binds)

    def mounts(self) -> list[str]:
        """The bubblewrap options that lay the host over a root made from `skeleton`."""
        return [word for bind in self.binds for word in ("--ro-bind", str(bind), str(bind))]

    def skeleton(self, cache_dir: Path) -> Path:
        """The folder that lies lowest in the root: made once, then shared."""
        place = cache_dir / "rootfs" / f"base-{self.key}"
        if not place.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(dir=place.parent, prefix=".base-"))
            self._fill(fresh)
            publish(fresh, place)
        return place

    def _fill(self, root: Path) -> None:
        root.chmod(0o755)
        for name in _FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)
        for name in ("tmp", "var/tmp"):
            (root / name).chmod(0o1777)
        for name, text in _FILES.items():
            (root / name).write_text(text)
        for name, target in self.links:
            (root / name).symlink_to(target)
        for bind in self.binds:
            _mount_point(root / bind.relative_to("/"), folder=bind.is_dir())
        if not self.covers(Path("/usr/local/bin")):
            self._shims(root / "usr/local/bin")

    def _shims(self, folder: Path) -> None:
        minor = f"python{sys.version_info.major}.{sys.version_info.minor}"
        for name in ("python", "python3", minor):
            _script(folder / name, f'exec "{self.python}" "$@"')
        for name in ("pip", "pip3"):
            _script(folder / name, f'exec "{self.python}" -m pip "$@"')


@cache
def host() -> HostBase:
    """The stand-in that this host gives, from the Python that labkit runs on."""
    links, binds = [], []
    children = [path for path in sorted(Path("/usr").iterdir()) if path.name != "local"]
    for path in (*children, *(Path("/", name) for name in _TOP)):
        if path.is_symlink():
            links.append((str(path.relative_to("/")), str(path.readlink())))
        elif path.is_dir():
            binds.append(path)
    binds += [path for name in _ETC if (path := Path("/etc", name)).exists()]
    prefix = Path(sys.base_prefix)
    interpreter = _interpreter(prefix)
    for place in (prefix, interpreter.resolve().parent.parent):
        wanted = Path("/usr/local") if place.is_relative_to("/usr/local") else place
        if not any(wanted.is_relative_to(bind) for bind in (*binds, Path("/usr"))) or wanted.name == "local":
            binds.append(wanted)
    return HostBase(interpreter, tuple(dict.fromkeys(binds)), tuple(links))


def _interpreter(prefix: Path) -> Path:
    named = prefix / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return named if named.exists() else Path(getattr(sys, "_base_executable", sys.executable))


def _script(place: Path, line: str) -> None:
    # A link would not do: a venv made through it looks for its library near the link, and there is another's.
    place.write_text(f"#!/bin/sh\n{line}\n")
    place.chmod(0o755)


def _mount_point(place: Path, *, folder: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if folder:
        place.mkdir(exist_ok=True)
    else:
        place.touch()
